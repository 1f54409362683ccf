"""GET and HEAD of an object: from its file, whole or in part."""

import re
from collections.abc import Iterator
from typing import Any, BinaryIO

from moto.core.utils import str_to_rfc_1123_datetime
from moto.s3.models import FakeKey
from moto.s3.utils import ARCHIVE_STORAGE_CLASSES

from emulator.s3 import offered
from emulator.s3.request import Answer, Problem, Request
from emulator.store.objects import Objects

_CHUNK = 2**19
# Query parameters that replace a header of the answer.
OVERRIDES = {
    "response-content-type": "content-type",
    "response-content-language": "content-language",
    "response-expires": "expires",
    "response-cache-control": "cache-control",
    "response-content-disposition": "content-disposition",
    "response-content-encoding": "content-encoding",
}
# Of the upload; moto would show them to readers.
_OF_REQUESTS = re.compile("x-amz-(content-.+|sdk-checksum-algorithm|checksum-.+)|content-md5")
PART = "partNumber"  # the query parameter
_PRECONDITION = "At least one of the pre-conditions you specified did not hold"


def answer(objects: Objects, request: Request) -> Answer | None:
    """Answer GET or HEAD of an object; None if there is none, or it is in an archive.

    Raises:
        Problem: a condition does not hold, or the range or the part is not in the object.
    """
    found = objects.open(request.place)
    if found is None:
        return None
    moto_key, file = found
    if moto_key.storage_class in ARCHIVE_STORAGE_CLASSES:
        file.close()
        return None
    try:
        headers = _headers(moto_key, request)
        if not is_wanted(moto_key, request):
            file.close()
            kept = {"etag", "last-modified", "cache-control", "expires"}
            return Answer(304, {name: headers[name] for name in headers if name in kept})
        size = moto_key.size
        start, end = _range(request, size)
        partial = bool(request.header("Range")) and (start, end) != (-1, -1)
        if PART in request.query:
            start, end, count = _part(request, moto_key)
            partial = size > 0
            headers |= {"x-amz-mp-parts-count": str(count)} if "-" in moto_key.etag else {}
        elif not partial:
            start, end = 0, size - 1
        if partial:
            headers["content-range"] = f"bytes {start}-{end}/{size}"
            if end - start + 1 < size:  # the checksum is that of the whole object
                headers = {name: headers[name] for name in headers if "x-amz-checksum-" not in name}
        headers["content-length"] = str(end - start + 1)
        status = 206 if partial else 200
        if request.method == "HEAD":
            file.close()
            return Answer(status, headers)
        return Answer(status, headers, Pieces(file, start, end + 1))
    except BaseException:
        file.close()
        raise


class Pieces:
    """Bytes `start` to `end` of an open file, in pieces; `close` closes the file."""

    def __init__(self, file: BinaryIO, start: int, end: int) -> None:
        self._file, self._start, self._end = file, start, end

    def __iter__(self) -> Iterator[bytes]:
        """Yield the bytes."""
        self._file.seek(self._start)
        left = self._end - self._start
        while left > 0:
            piece = self._file.read(min(_CHUNK, left))
            if not piece:
                raise EOFError(f"{self._file.name} is shorter than expected")
            left -= len(piece)
            yield piece

    def close(self) -> None:
        """Close the file: called by the server, also if the client has gone."""
        self._file.close()


def matches(moto_key: FakeKey, etag: str) -> bool:
    """Return whether an ETag of a condition, quoted or not, is the object's."""
    return etag.strip('"') == moto_key.etag.strip('"')


def failed(condition: str) -> Problem:
    """Return the error of a condition that does not hold."""
    return Problem(412, "PreconditionFailed", _PRECONDITION, Condition=condition)


def is_wanted(moto_key: FakeKey, request: Request) -> bool:
    """Return whether the client wants the object by its conditions; False is status 304.

    Raises:
        Problem: a condition does not hold.
    """
    modified = moto_key.last_modified.replace(microsecond=0)
    since = _time(request, "If-Unmodified-Since")
    if since and not request.header("If-Match") and modified > since:
        raise failed("If-Unmodified-Since")
    if (etag := request.header("If-Match")) and etag != "*" and not matches(moto_key, etag):
        raise failed("If-Match")
    if etag := request.header("If-None-Match"):
        return etag != "*" and not matches(moto_key, etag)
    since = _time(request, "If-Modified-Since")
    return not (since and modified <= since)


def _time(request: Request, name: str) -> Any:
    try:
        return str_to_rfc_1123_datetime(request.header(name)) if request.header(name) else None
    except ValueError:
        return None  # RFC 9110: a date that cannot be read is no condition


def _range(request: Request, size: int) -> tuple[int, int]:
    """Return the first and the last byte, or (-1, -1) for the whole object.

    Raises:
        Problem: the range begins after the end.
    """
    wanted = request.header("Range")
    found = re.fullmatch(r"bytes=(\d{0,18})-(\d{0,18})", wanted.strip())
    if not found or found[0].endswith("=-"):
        return -1, -1
    if not found[1]:
        start, end = max(0, size - int(found[2])), size - 1
        empty = not int(found[2]) or not size
    else:
        start, end = int(found[1]), min(int(found[2] or size), size - 1)
        if found[2] and int(found[2]) < start:
            return -1, -1
        empty = start >= size
    if empty:
        raise Problem(
            416,
            "InvalidRange",
            "The requested range is not satisfiable",
            ActualObjectSize=str(size),
            RangeRequested=wanted,
        )
    return start, end


def _part(request: Request, moto_key: FakeKey) -> tuple[int, int, int]:
    """Return the first and the last byte of the part that a request names; the number of parts.

    Raises:
        Problem: there is no such part.
    """
    if request.header("Range"):
        message = f"Cannot specify both Range header and {PART} query parameter"
        raise Problem(400, "InvalidRequest", message)
    sizes = getattr(moto_key, "part_sizes", None)
    if sizes is None and "-" in moto_key.etag:  # an older emulator stored it
        raise offered.not_emulated(f"{PART} of an object whose parts are not known")
    sizes = sizes or [moto_key.size]
    text = request.query[PART]
    number = int(text) if re.fullmatch("[0-9]{1,9}", text) else 0
    if not number:
        message = "Part number must be an integer between 1 and 10000, inclusive"
        raise Problem(400, "InvalidArgument", message, ArgumentName=PART)
    if number > len(sizes):
        message = "The requested partnumber is not satisfiable"
        raise Problem(
            416, "InvalidPartNumber", message, ActualPartCount=str(len(sizes)),
            PartNumberRequested=text,
        )  # fmt: skip
    start = sum(sizes[: number - 1])
    return start, start + sizes[number - 1] - 1, len(sizes)


def _headers(moto_key: FakeKey, request: Request) -> dict[str, str]:
    """Return the headers of the whole object."""
    headers: dict[str, str] = {
        name.lower(): str(value)
        for name, value in [*moto_key.metadata.items(), *moto_key.response_dict.items()]
        if not _OF_REQUESTS.fullmatch(name.lower())
    }
    headers["accept-ranges"] = "bytes"
    algorithm, checksum = moto_key.checksum_algorithm, moto_key.checksum_value
    if request.header("x-amz-checksum-mode").upper() == "ENABLED" and algorithm and checksum:
        parts = f"-{moto_key.checksum_parts}" if moto_key.checksum_type == "COMPOSITE" else ""
        headers[f"x-amz-checksum-{algorithm.lower()}"] = f"{checksum}{parts}"
        if moto_key.checksum_type:
            headers["x-amz-checksum-type"] = moto_key.checksum_type
    for name, value in request.query.items():
        if name in OVERRIDES:
            headers[OVERRIDES[name]] = value.encode().decode("latin-1")
    return headers
