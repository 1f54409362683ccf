"""Uploads in parts: each part is a file, and the object is made of the files."""

import codecs
import contextlib
import hashlib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO
from xml.etree.ElementTree import Element

from moto.s3.models import FakeKey
from moto.settings import S3_UPLOAD_PART_MIN_SIZE

from emulator.s3 import bodies, writing
from emulator.s3.request import Answer, Problem, Request, read_xml, xml_answer
from emulator.store.blobs import Writer, copy_range, open_blob
from emulator.store.cards import attach, file_of
from emulator.store.objects import Objects
from emulator.store.paths import open_private

_MAX_PART = 10_000
_MAX_XML = 4 * 2**20  # of 10,000 parts with their ETags and checksums
# The first letters of an algorithm -> the types of checksum of uploads with it; "" is the default.
_TYPES = {"": ("",), "CRC32": ("", "COMPOSITE", bodies.WHOLE), "CRC64": ("", bodies.WHOLE)}
_NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"


def put(objects: Objects, request: Request) -> Answer:
    """Store a part; it replaces an earlier part of the same number.

    Raises:
        Problem: no such upload, or the body is damaged.
    """
    upload, number = upload_of(objects, request), _number(request)
    with writing.new_file(objects, request.place) as blob:
        with open_private(blob, "xb") as file:
            received = bodies.receive(request, file)
        expected, _ = checksum_of(upload)
        if expected and received.algorithm not in ("", expected):
            message = (
                "Checksum Type mismatch occurred, expected checksum Type: "
                f"{expected.lower()}, actual checksum Type: {received.algorithm.lower()}"
            )
            raise Problem(400, "InvalidRequest", message)
        part = _add(upload, number, blob, received.md5)
        part.checksum_algorithm, part.checksum_value = received.algorithm, received.checksum
    return writing.stored(part.etag, received)


def copy(objects: Objects, request: Request) -> Answer:
    """Store a part that is another object or a range of it.

    Raises:
        Problem: no such upload, no such object, or no such range.
    """
    upload, number = upload_of(objects, request), _number(request)
    source = writing.copy_source(request)
    found = objects.open(source)
    if found is None:
        raise writing.missing(objects, source)
    moto_key, file = found
    writing.check_source(request, moto_key)
    with file, writing.new_file(objects, request.place) as blob:
        start, end = 0, moto_key.size
        if wanted := request.header("x-amz-copy-source-range"):
            parsed = re.fullmatch(r"bytes=(\d{1,18})-(\d{1,18})", wanted)
            start, end = (int(parsed[1]), int(parsed[2]) + 1) if parsed else (1, 0)
            if not start < end <= moto_key.size:
                raise Problem(
                    400, "InvalidArgument", f"The range {wanted} is not valid for the source object"
                )
        digest = hashlib.md5(usedforsecurity=False)
        algorithm, _ = checksum_of(upload)
        other = bodies.ALGORITHMS[algorithm]() if algorithm else None
        with open_private(blob, "xb") as copied:
            target = _Tee(copied, digest)
            copy_range(file, _Tee(target, other) if other else target, start, end - start)
        part = _add(upload, number, blob, digest.hexdigest())
        if other:
            part.checksum_algorithm, part.checksum_value = algorithm, bodies.base64_of(other)
    checksum = f"<Checksum{algorithm}>{part.checksum_value}</Checksum{algorithm}>" if other else ""
    body = (
        f'<CopyPartResult xmlns="{_NAMESPACE}"><ETag>{part.etag}</ETag>'
        f"<LastModified>{part.last_modified_ISO8601}</LastModified>{checksum}</CopyPartResult>"
    )
    return xml_answer(body)


@contextlib.contextmanager
def completed(objects: Objects, request: Request) -> Iterator[dict[str, Any]]:
    """Let moto complete an upload in the block; then the parts' bytes become the object's.

    Moto does everything but handle the bytes: it would hold all of them in memory. The block sets
    `succeeded` in the dictionary.

    Raises:
        Problem: no such upload, or the parts are not those that were uploaded.
    """
    upload = upload_of(objects, request)
    named = _named_parts(request)
    parts = [_check(upload, *one) for one in named]
    if any(part.size < S3_UPLOAD_PART_MIN_SIZE for part in parts[:-1]):
        message = "Your proposed upload is smaller than the minimum allowed object size."
        raise Problem(400, "EntityTooSmall", message)
    _check_size(request, sum(part.size for part in parts))
    with objects.lock(request.place):
        old = objects.key(request.place)
        writing.check_replaced(old, request)
        with writing.new_file(objects, request.place) as blob:
            with open_private(blob, "xb") as file:
                checksum = _join(upload, parts, file)
            for algorithm, value in bodies.checksum_headers(request).items():
                if checksum and checksum[0] == bodies.WHOLE and algorithm == checksum_of(upload)[0]:
                    bodies.check_claimed(value, checksum[1], algorithm)
            digests = b"".join(codecs.decode(part.etag.strip('"'), "hex") for part in parts)
            whole = hashlib.md5(digests, usedforsecurity=False).hexdigest()
            # Moto asks the upload for its bytes, ETag and checksum.
            upload.complete = lambda _body: (b"", f"{whole}-{len(parts)}", checksum)
            outcome: dict[str, Any] = {"succeeded": False}
            try:
                yield outcome
            finally:
                del upload.complete
            if not outcome["succeeded"]:
                blob.unlink()
                return
            moto_key = objects.key(request.place)
            assert moto_key
            attach(moto_key, blob)
            moto_key.completed_upload = request.query["uploadId"]  # type: ignore[attr-defined]
            moto_key.part_sizes = [part.size for part in parts]  # type: ignore[attr-defined]
            if checksum and all(part.checksum_value for part in parts):
                values = [part.checksum_value for part in parts]
                moto_key.part_checksums = values  # type: ignore[attr-defined]
            objects.settle(request.place, old)


def again(objects: Objects, request: Request) -> Answer | None:
    """Answer a client that completes an upload again, because it did not get the answer."""
    moto_key = objects.key(request.place)
    if getattr(moto_key, "completed_upload", "") != request.query["uploadId"]:
        return None
    assert moto_key
    body = (
        f'<CompleteMultipartUploadResult xmlns="{_NAMESPACE}"><ETag>{moto_key.etag}</ETag>'
        f"{writing.checksum_xml(moto_key)}</CompleteMultipartUploadResult>"
    )
    return xml_answer(body)


class _Tee:
    """Writes to a file and a digest."""

    def __init__(self, file: Writer, digest: Any) -> None:
        self._file, self._digest = file, digest

    def write(self, data: bytes, /) -> object:
        self._digest.update(data)
        return self._file.write(data)


def upload_of(objects: Objects, request: Request) -> Any:
    """Return moto's upload.

    Raises:
        Problem: there is none for this key.
    """
    bucket = objects.backend.buckets.get(request.place.bucket)
    upload = bucket.multiparts.get(request.query["uploadId"]) if bucket is not None else None
    if upload is None or upload.key_name != request.place.key:
        raise Problem(
            404,
            "NoSuchUpload",
            "The specified upload does not exist. The upload ID may be invalid, or the upload may "
            "have been aborted or completed.",
        )
    return upload


def _number(request: Request) -> int:
    text = request.query["partNumber"]
    number = int(text) if re.fullmatch(r"[0-9]{1,9}", text) else 0
    if not 1 <= number <= _MAX_PART:
        message = f"Part number must be an integer between 1 and {_MAX_PART}, inclusive"
        raise Problem(400, "InvalidArgument", message, ArgumentName="partNumber")
    return number


def _add(upload: Any, number: int, blob: Path, etag: str) -> FakeKey:
    part: FakeKey = upload.set_part(number, b"")
    attach(part, blob, temporary=True)
    part._etag = etag
    return part


def _named_parts(request: Request) -> list[tuple[int, str, dict[str, str]]]:
    """Return the numbers, ETags and checksums in the body, which can be read again.

    Raises:
        Problem: it is not what S3 expects.
    """
    root = read_xml(request.read_body(_MAX_XML))
    parts = [
        (
            part.findtext("{*}PartNumber") or "",
            part.findtext("{*}ETag") or "",
            {name: found for name in bodies.ALGORITHMS if (found := _checksum_in(part, name))},
        )
        for part in root.iterfind("{*}Part")
    ]
    if not parts or not all(re.fullmatch("[0-9]{1,9}", number) for number, *_ in parts):
        raise Problem(400, "MalformedXML", "The XML names no parts by number.")
    named = [(int(number), etag, checksums) for number, etag, checksums in parts]
    numbers = [number for number, *_ in named]
    if numbers != sorted(set(numbers)):
        message = "The list of parts was not in ascending order."
        raise Problem(400, "InvalidPartOrder", message)
    return named


def _checksum_in(part: Element, algorithm: str) -> str:
    return part.findtext(f"{{*}}Checksum{algorithm}") or ""


def _check(upload: Any, number: int, etag: str, checksums: Mapping[str, str]) -> FakeKey:
    part: FakeKey | None = upload.parts.get(number)
    if (
        part is None
        or part.etag.strip('"') != etag.strip().strip('"')
        or any(
            name == part.checksum_algorithm and value != part.checksum_value
            for name, value in checksums.items()
        )
    ):
        raise Problem(
            400,
            "InvalidPart",
            "One or more of the specified parts could not be found. The part might not have been "
            "uploaded, or the specified entity tag might not have matched the part's entity tag.",
        )
    return part


def _check_size(request: Request, size: int) -> None:
    """Check the size that a client expects of the whole object, if it names one.

    Raises:
        Problem: it is another one.
    """
    header = "x-amz-mp-object-size"
    if (expected := request.header(header)) and expected != str(size):
        message = (
            f"The provided '{header}' header value {expected} does not match what was computed: "
            f"{size}"
        )
        raise Problem(400, "InvalidRequest", message)


def check_checksum(request: Request) -> None:
    """Check the checksums that a new upload will have.

    Raises:
        Problem: the algorithm has no checksums of this type, or is not emulated.
    """
    algorithm = request.header("x-amz-checksum-algorithm").upper()
    kind = request.header("x-amz-checksum-type").upper()
    if algorithm:
        bodies.check_algorithm(algorithm)
    if kind and not algorithm:
        message = (
            "The x-amz-checksum-type header can only be used with the x-amz-checksum-algorithm "
            "header."
        )
        raise Problem(400, "InvalidRequest", message)
    if kind not in _TYPES.get(algorithm[:5], ("", "COMPOSITE")):
        message = (
            f"The {kind} checksum type cannot be used with the {algorithm.lower()} checksum "
            "algorithm."
        )
        raise Problem(400, "InvalidRequest", message)


def checksum_of(upload: Any) -> tuple[str, str]:
    """Return the algorithm and the type of an upload's checksum; empty if it has none."""
    algorithm = (upload.metadata.get("x-amz-checksum-algorithm") or "").upper()
    default = bodies.WHOLE if algorithm == "CRC64NVME" else "COMPOSITE"
    return algorithm, (upload.metadata.get("x-amz-checksum-type") or default).upper()


def _join(upload: Any, parts: list[FakeKey], file: BinaryIO) -> tuple[str, str, int] | None:
    """Write all parts to a file; return type, value and number of parts of the checksum, if any."""
    algorithm, kind = checksum_of(upload)
    composite = kind == "COMPOSITE"
    new = bodies.ALGORITHMS.get(algorithm)
    digests, whole = b"", new() if new else None
    for part in parts:
        one = whole if not composite else new() if new else None
        target = _Tee(file, one) if one else file
        if blob := file_of(part):
            with open_blob(blob) as source:
                copy_range(source, target, 0, part.size)
        else:  # moto copied it, such as from an older version
            target.write(part.value)
        if one and composite:
            digests += one.digest()
    if not whole:
        return None
    if composite:
        whole.update(digests)
    return kind, bodies.base64_of(whole), len(parts) if composite else 1
