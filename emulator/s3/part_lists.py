"""ListParts and GetObjectAttributes: the parts of an upload, and those of an object.

moto counts an upload's parts as if no number was left out, and does not have those of objects.
"""

import re
from collections.abc import Sequence
from xml.sax.saxutils import escape

from moto.s3.models import FakeKey

from emulator.s3 import listing, parts, reading
from emulator.s3.request import Answer, Problem, Request, xml_answer
from emulator.store.objects import Objects

_MOST = 1000
_NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"
_ATTRIBUTES = ("ETag", "Checksum", "ObjectParts", "StorageClass", "ObjectSize")


def of_upload(objects: Objects, request: Request) -> Answer:
    """Answer a page of the parts of an upload.

    Raises:
        Problem: no such upload, or a parameter that S3 does not allow.
    """
    query, upload = request.query, parts.upload_of(objects, request)
    algorithm, kind = parts.checksum_of(upload)
    numbers, about = _page(
        sorted(upload.parts),
        query.get("part-number-marker", ""),
        query.get("max-parts", ""),
        ("part-number-marker", "max-parts"),
    )
    shown = listing.showing(query)
    inside = [
        f"<Bucket>{request.place.bucket}</Bucket><Key>{shown(request.place.key)}</Key>"
        f"<UploadId>{escape(query['uploadId'])}</UploadId>{about}"
        f"<Initiator>{listing.OWNER_ID}</Initiator>{listing.OWNER}"
        f"<StorageClass>{upload.storage or 'STANDARD'}</StorageClass>"
    ]
    if algorithm:
        inside.append(
            f"<ChecksumAlgorithm>{algorithm}</ChecksumAlgorithm><ChecksumType>{kind}</ChecksumType>"
        )
    for number in numbers:
        part: FakeKey = upload.parts[number]
        name, value = f"Checksum{part.checksum_algorithm}", part.checksum_value
        checksum = f"<{name}>{value}</{name}>" if value else ""
        inside.append(
            f"<Part><PartNumber>{number}</PartNumber>"
            f"<LastModified>{part.last_modified_ISO8601}</LastModified>"
            f"<ETag>{escape(part.etag)}</ETag><Size>{part.size}</Size>{checksum}</Part>"
        )
    body = "".join(inside)
    return xml_answer(f'<ListPartsResult xmlns="{_NAMESPACE}">{body}</ListPartsResult>')


def attributes(objects: Objects, request: Request) -> Answer | None:
    """Answer which attributes an object has; None if there is no such object or version.

    Raises:
        Problem: an attribute that S3 does not have, or a condition does not hold.
    """
    place = request.place
    moto_key: FakeKey | None = objects.backend.get_object(
        place.bucket, place.key, version_id=request.query.get("versionId")
    )
    if moto_key is None:
        return None
    wanted = [one.strip() for one in request.header("x-amz-object-attributes").split(",")]
    if not set(wanted) <= set(_ATTRIBUTES):
        message = "Invalid attribute name specified."
        raise Problem(400, "InvalidArgument", message, ArgumentName="x-amz-object-attributes")
    headers = {"Last-Modified": moto_key.last_modified_RFC1123}
    if moto_key.version_id != "null":
        headers["x-amz-version-id"] = str(moto_key.version_id)
    if not reading.is_wanted(moto_key, request):
        return Answer(304, {"ETag": moto_key.etag, **headers})
    algorithm, checksum = moto_key.checksum_algorithm, moto_key.checksum_value
    about = {
        "ETag": escape(moto_key.etag.strip('"')),
        "StorageClass": moto_key.storage_class,
        "ObjectSize": str(moto_key.size),
    }
    if algorithm and checksum:
        kind = f"<ChecksumType>{moto_key.checksum_type}</ChecksumType>"
        about["Checksum"] = f"<Checksum{algorithm}>{checksum}</Checksum{algorithm}>{kind}"
    if "ObjectParts" in wanted and getattr(moto_key, "part_sizes", None):
        about["ObjectParts"] = _parts(moto_key, request)
    body = "".join(
        f"<{name}>{about[name]}</{name}>"
        for name in _ATTRIBUTES
        if name in about and name in wanted
    )
    name = "GetObjectAttributesResponse"
    answer = xml_answer(f'<{name} xmlns="{_NAMESPACE}">{body}</{name}>')
    return Answer(200, {**answer.headers, **headers}, answer.body)


def _parts(moto_key: FakeKey, request: Request) -> str:
    """Return how many parts an object has, and the parts themselves if they have checksums.

    Raises:
        Problem: a header that S3 does not allow.
    """
    sizes: Sequence[int] = moto_key.part_sizes  # type: ignore[attr-defined]
    checksums: Sequence[str] | None = getattr(moto_key, "part_checksums", None)
    count = f"<PartsCount>{len(sizes)}</PartsCount>"
    if not checksums:
        return count
    names = ("x-amz-part-number-marker", "x-amz-max-parts")
    marker, most = map(request.header, names)
    numbers, about = _page(range(1, len(sizes) + 1), marker, most, names)
    name = f"Checksum{moto_key.checksum_algorithm}"
    return f"{count}{about}" + "".join(
        f"<Part><PartNumber>{number}</PartNumber><Size>{sizes[number - 1]}</Size>"
        f"<{name}>{checksums[number - 1]}</{name}></Part>"
        for number in numbers
    )


def _page(
    numbers: Sequence[int], marker: str, most: str, names: tuple[str, str]
) -> tuple[Sequence[int], str]:
    """Return the part numbers of a page, and the elements that describe it.

    Raises:
        Problem: the marker or the size is no number; `names` are theirs.
    """
    for name, value in zip(names, (marker, most), strict=True):
        if value and not re.fullmatch("[0-9]{1,10}", value):
            message = f"{name} must be a number from 0 to 2147483647"
            raise Problem(400, "InvalidArgument", message, ArgumentName=name)
    size, after = min(int(most or _MOST), _MOST), int(marker or 0)
    left = [number for number in numbers if number > after]
    page = left[:size]
    fields = {
        "PartNumberMarker": after,
        "NextPartNumberMarker": page[-1] if page else after,
        "MaxParts": size,
        "IsTruncated": str(len(left) > size and size > 0).lower(),
    }
    return page, "".join(f"<{name}>{value}</{name}>" for name, value in fields.items())
