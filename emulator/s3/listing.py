"""ListObjects, both versions: a page of a bucket's keys, sorted, folders rolled up."""

import base64
import bisect
import re
import urllib.parse
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from xml.sax.saxutils import escape

from moto.s3.models import FakeKey

from emulator.s3.request import Answer, Problem, Request, xml_answer

PARAMETERS = frozenset(
    "list-type prefix delimiter max-keys marker continuation-token start-after encoding-type "
    "fetch-owner".split()
)
_MOST = 1000
OWNER_ID = "<ID>75aa57f09aa0c8caeab4f8c24e99d10f8e7faeebf76c078efc7c6caea54ba06a</ID>"
OWNER = f"<Owner>{OWNER_ID}</Owner>"
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")


@dataclass(frozen=True)
class _Page:
    """Objects and folders of one page; `next` is the last of them if there are more."""

    objects: list[FakeKey]
    folders: list[str]
    next: str


def answer(bucket: Any, request: Request) -> Answer:
    """Answer one page.

    Raises:
        Problem: a parameter that S3 does not allow.
    """
    query = request.query
    second = query.get("list-type") == "2"
    prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
    after = query.get("marker", "")
    if second:
        token = query.get("continuation-token")
        after = query.get("start-after", "") if token is None else _read_token(token)
    most = query.get("max-keys", str(_MOST))
    if not re.fullmatch("[0-9]{1,10}", most):
        raise Problem(400, "InvalidArgument", "max-keys must be a number from 0 to 2147483647")
    shown = showing(query)
    page = _page(bucket, prefix, delimiter, after, min(int(most), _MOST))

    parts = [f"<Name>{request.place.bucket}</Name><Prefix>{shown(prefix)}</Prefix>"]
    parts.append(f"<MaxKeys>{min(int(most), _MOST)}</MaxKeys>")
    parts.append(f"<IsTruncated>{str(bool(page.next)).lower()}</IsTruncated>")
    if delimiter:
        parts.append(f"<Delimiter>{shown(delimiter)}</Delimiter>")
    if "encoding-type" in query:
        parts.append("<EncodingType>url</EncodingType>")
    if second:
        parts.append(f"<KeyCount>{len(page.objects) + len(page.folders)}</KeyCount>")
        if "continuation-token" in query:
            parts.append(
                f"<ContinuationToken>{escape(query['continuation-token'])}</ContinuationToken>"
            )
        elif after:
            parts.append(f"<StartAfter>{shown(after)}</StartAfter>")
        if page.next:
            parts.append(f"<NextContinuationToken>{_token(page.next)}</NextContinuationToken>")
    else:
        parts.append(f"<Marker>{shown(after)}</Marker>")
        if page.next and delimiter:
            parts.append(f"<NextMarker>{shown(page.next)}</NextMarker>")
    owner = "" if second and query.get("fetch-owner", "").lower() != "true" else OWNER
    for moto_key in page.objects:
        algorithm = moto_key.checksum_algorithm
        checksum = f"<ChecksumAlgorithm>{algorithm}</ChecksumAlgorithm>" if algorithm else ""
        parts.append(
            f"<Contents><Key>{shown(moto_key.name)}</Key>"
            f"<LastModified>{moto_key.last_modified_ISO8601}</LastModified>"
            f"<ETag>{escape(moto_key.etag)}</ETag>{checksum}<Size>{moto_key.size}</Size>"
            f"<StorageClass>{moto_key.storage_class}</StorageClass>{owner}</Contents>"
        )
    parts += [
        f"<CommonPrefixes><Prefix>{shown(folder)}</Prefix></CommonPrefixes>"
        for folder in page.folders
    ]
    name = 'ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'
    return xml_answer(f"<{name}>{''.join(parts)}</ListBucketResult>")


def showing(query: Mapping[str, str]) -> Callable[[str], str]:
    """Return how a list writes names: in percent-encoding, if the client wants that.

    Raises:
        Problem: the client wants another encoding.
    """
    if query.get("encoding-type", "url") != "url":
        raise Problem(400, "InvalidArgument", "Invalid Encoding Method specified in Request")
    if "encoding-type" in query:
        return urllib.parse.quote
    return lambda name: _CONTROL.sub(lambda one: f"&#{ord(one[0])};", escape(name))


def _page(bucket: Any, prefix: str, delimiter: str, after: str, most: int) -> _Page:
    """Return at most `most` objects and folders that come after a name."""
    page = _Page([], [], "")
    last = ""
    for name, found in _entries(bucket, prefix, delimiter, after):
        if len(page.objects) + len(page.folders) == most:
            return _Page(page.objects, page.folders, last) if most else page
        if found:
            page.objects.append(found)
        else:
            page.folders.append(name)
        last = name
    return page


def _entries(
    bucket: Any, prefix: str, delimiter: str, after: str
) -> Iterator[tuple[str, FakeKey | None]]:
    """Yield objects, and folders without one, in order."""
    keys = sorted(key for key in list(bucket.keys) if key.startswith(prefix))
    folder = ""
    for key in keys[bisect.bisect_right(keys, after) :]:
        if folder and key.startswith(folder):
            continue
        found = bucket.keys.get(key)
        if not isinstance(found, FakeKey):  # a delete marker, or deleted just now
            continue
        end = key.find(delimiter, len(prefix)) if delimiter else -1
        if end < 0:
            yield key, found
            continue
        folder = key[: end + len(delimiter)]
        if folder != after:
            yield folder, None


def _token(name: str) -> str:
    return base64.urlsafe_b64encode(name.encode(errors="surrogatepass")).decode()


def _read_token(token: str) -> str:
    try:
        name = base64.b64decode(token, b"-_", validate=True).decode(errors="surrogatepass")
    except ValueError:
        name = ""
    if not name:
        raise Problem(400, "InvalidArgument", "The continuation token provided is incorrect")
    return name
