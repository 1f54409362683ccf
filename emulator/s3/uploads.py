"""ListMultipartUploads: a page of the unfinished uploads of a bucket, sorted, folders rolled up.

moto shows all of them, with a time of the year 2010: whoever aborts old uploads would abort all.
"""

import datetime as dt
import re
from collections.abc import Iterator
from typing import Any

from emulator.s3 import listing
from emulator.s3.request import Answer, Problem, Request, xml_answer

PARAMETERS = frozenset(
    "uploads prefix delimiter encoding-type key-marker upload-id-marker max-uploads".split()
)
_MOST = 1000


def note_time(bucket: Any) -> None:
    """Store the time of uploads that have just begun."""
    for upload in list(bucket.multiparts.values()):
        if not hasattr(upload, "initiated"):
            upload.initiated = dt.datetime.now(dt.UTC)


def answer(bucket: Any, request: Request) -> Answer:
    """Answer one page.

    Raises:
        Problem: a parameter that S3 does not allow.
    """
    query, shown = request.query, listing.showing(request.query)
    most = query.get("max-uploads", str(_MOST))
    if not re.fullmatch("[0-9]{1,10}", most) or not int(most):
        raise Problem(400, "InvalidArgument", "max-uploads must be a number from 1 to 2147483647")
    size = min(int(most), _MOST)
    found = list(_entries(bucket, request))
    page = found[:size]
    fields = {
        "Bucket": request.place.bucket,
        "KeyMarker": shown(query.get("key-marker", "")),
        "UploadIdMarker": query.get("upload-id-marker", ""),
        "Prefix": shown(query.get("prefix", "")),
        "MaxUploads": str(size),
        "IsTruncated": str(len(found) > size).lower(),
    }
    if "delimiter" in query:
        fields["Delimiter"] = shown(query["delimiter"])
    if "encoding-type" in query:
        fields["EncodingType"] = "url"
    if len(found) > size:
        fields["NextKeyMarker"] = shown(page[-1][0])
        fields["NextUploadIdMarker"] = page[-1][1]
    parts = [f"<{name}>{value}</{name}>" for name, value in fields.items()]
    for name, _, upload in page:
        if upload is None:
            parts.append(f"<CommonPrefixes><Prefix>{shown(name)}</Prefix></CommonPrefixes>")
        else:
            parts.append(f"<Upload><Key>{shown(name)}</Key>{_about(upload)}</Upload>")
    name = "ListMultipartUploadsResult"
    start = f'<{name} xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
    return xml_answer(f"{start}{''.join(parts)}</{name}>")


def _entries(bucket: Any, request: Request) -> Iterator[tuple[str, str, Any]]:
    """Yield what comes after the markers: key, id and upload; or a folder, with neither."""
    query = request.query
    prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
    marker, id_marker = query.get("key-marker", ""), query.get("upload-id-marker", "")
    folder = ""
    for upload in sorted(bucket.multiparts.values(), key=lambda one: (one.key_name, one.id)):
        key = upload.key_name
        if not key.startswith(prefix) or (folder and key.startswith(folder)):
            continue
        end = key.find(delimiter, len(prefix)) if delimiter else -1
        if end >= 0:
            folder = key[: end + len(delimiter)]
            if folder > marker:
                yield folder, "", None
        elif key > marker or (key == marker and id_marker and upload.id > id_marker):
            yield key, upload.id, upload


def _about(upload: Any) -> str:
    initiated = getattr(upload, "initiated", dt.datetime.now(dt.UTC))
    fields = {
        "UploadId": upload.id,
        "StorageClass": upload.storage or "STANDARD",
        "Initiated": initiated.strftime("%Y-%m-%dT%H:%M:%S.000Z"),
        "ChecksumAlgorithm": upload.metadata.get("x-amz-checksum-algorithm"),
        "ChecksumType": upload.metadata.get("x-amz-checksum-type"),
    }
    about = "".join(f"<{name}>{value}</{name}>" for name, value in fields.items() if value)
    return f"{about}<Initiator>{listing.OWNER_ID}</Initiator>{listing.OWNER}"
