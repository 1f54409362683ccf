"""The objects of a channel: those below a prefix, or those that a manifest lists.

Source: SageMaker's S3DataSource. In File mode an object of a manifest lies in the channel under its
name in the manifest, without the prefix.
"""

import json
from pathlib import Path

from emulator.contract import Record
from emulator.errors import JobError
from emulator.store.objects import Location, Objects

_FORM = 'the form is [{"prefix": "s3://BUCKET/PHOTOS/"}, "cat/1.jpg", ...]'


def objects_of(objects: Objects, source: Record) -> list[tuple[Location, str]]:
    """Return the objects of an S3DataSource, and the path of each in the channel's folder.

    Raises:
        JobError: there are none, or the manifest is missing or wrong.
    """
    place = Location.parse(source["S3Uri"])
    if source["S3DataType"] == "ManifestFile":
        return _listed(objects, place)
    found = objects.find(place)
    if not found:
        raise JobError(
            f'ClientError: Data download failed: No S3 objects found under S3 URL "{place}" '
            "given in input data source. Please ensure that the bucket exists, that objects exist "
            'under that S3 prefix, and that the role has "s3:ListBucket" permissions on it'
        )
    names = [one.key.removeprefix(place.key).lstrip("/") for one in found]
    return [(one, name or Path(one.key).name) for one, name in zip(found, names, strict=True)]


def _listed(objects: Objects, place: Location) -> list[tuple[Location, str]]:
    if not place.key:
        raise _wrong(place, "the address has no key")
    try:
        found = json.loads(objects.read(place))
    except (ValueError, RecursionError) as error:
        raise _wrong(place, f"it is not JSON ({str(error)[:100]})") from None
    if not isinstance(found, list) or not found or not isinstance(found[0], dict):
        raise _wrong(place, "it does not begin with its prefix")
    prefix = found[0].get("prefix")
    if not isinstance(prefix, str) or not prefix.startswith("s3://"):
        raise _wrong(place, "its prefix does not begin with s3://")
    names = found[1:]
    if not names or not all(isinstance(name, str) and name for name in names):
        raise _wrong(place, "its entries are no names")
    # Two entries that are one object are downloaded once.
    return [(Location.parse(prefix + name), name.lstrip("/")) for name in dict.fromkeys(names)]


def _wrong(place: Location, why: str) -> JobError:
    return JobError(
        f"ClientError: Data download failed: the manifest {place} cannot be used: {why}; {_FORM}"
    )
