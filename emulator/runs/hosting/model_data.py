"""A model's data: where it is in S3, and how it comes to /opt/ml/model."""

from pathlib import Path

from emulator.context import Context
from emulator.contract import Record
from emulator.store import artifacts
from emulator.store.objects import Location
from emulator.store.paths import below


def container(model: Record) -> Record:
    """Return a model's container, which is given alone or as a list of one."""
    only: Record = model.get("PrimaryContainer") or model["Containers"][0]
    return only


def model_uri(container: Record) -> str:
    """Return the S3 URI of a container's model data, or an empty string."""
    source = container.get("ModelDataSource", {}).get("S3DataSource", {})
    uri: str = source.get("S3Uri") or container.get("ModelDataUrl", "")
    return uri


def download(context: Context, container: Record, folder: Path) -> None:
    """Download a container's model data to a new folder.

    A multi-model container gets nothing: its models come one by one, when they are invoked.

    Raises:
        JobError: the object is missing, or is not a tar.gz archive.
    """
    folder.mkdir(parents=True)
    uri = model_uri(container)
    if not uri or container.get("Mode") == "MultiModel":
        return
    source = container.get("ModelDataSource", {}).get("S3DataSource", {})
    place = Location.parse(uri)
    if source.get("CompressionType") != "None":
        artifacts.unpack(context.objects, place, folder)
    elif source["S3DataType"] == "S3Prefix":
        artifacts.Sync(context.objects, folder, place).fetch()
    else:
        context.objects.fetch(place, below(folder, Path(place.key).name))
