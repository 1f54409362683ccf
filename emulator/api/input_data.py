"""The data of a new job: a prefix without objects is refused, as in SageMaker."""

from emulator.context import Context
from emulator.contract import Record
from emulator.errors import Invalid, JobError
from emulator.store.objects import Location


def check_channels(context: Context, request: Record) -> None:
    """Refuse a training job with a channel that has no objects.

    Raises:
        Invalid: names the first such channel's address.
    """
    for channel in request.get("InputDataConfig", []):
        source = channel["DataSource"]["S3DataSource"]
        if source["S3DataType"] == "S3Prefix":
            check_prefix(context, source["S3Uri"], request["RoleArn"])


def check_prefix(context: Context, uri: str, role: str) -> None:
    """Refuse an address in S3 below which there is no object.

    Raises:
        Invalid: in SageMaker's words.
    """
    place = Location.parse(uri)
    try:
        found = context.objects.find(place)
    except JobError:  # no such bucket
        found = []
    if not found:
        raise Invalid(
            f'No S3 objects found under S3 URL "{uri}" given in input data source. Please ensure '
            f"that the bucket exists in the selected region ({context.region}), that objects exist "
            f'under that S3 prefix, and that the role "{role}" has "s3:ListBucket" permissions on '
            f'bucket "{place.bucket}".'
        )
