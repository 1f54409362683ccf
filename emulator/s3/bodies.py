"""The body of a request, written to a file piece by piece; its checksums are checked."""

import base64
import hashlib
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

from emulator.s3.request import Problem, Request

_CHUNK = 2**18
_LINE = 8192
_MD5 = re.compile("[A-Za-z0-9+/]{22}==")
_STREAMING = "STREAMING-"  # of x-amz-content-sha256: the body has chunks inside of HTTP's own


class _Crc32:
    """CRC-32 with hashlib's methods."""

    def __init__(self) -> None:
        self._value = 0

    def update(self, data: bytes) -> None:
        self._value = zlib.crc32(data, self._value)

    def digest(self) -> bytes:
        return self._value.to_bytes(4, "big")


ALGORITHMS: dict[str, Any] = {
    "CRC32": _Crc32,
    "SHA1": lambda: hashlib.sha1(usedforsecurity=False),
    "SHA256": hashlib.sha256,
}


@dataclass(frozen=True)
class Received:
    """A body that is in a file: MD5 in hex; the checksum that the client asked for, in base64."""

    md5: str
    algorithm: str = ""
    checksum: str = ""


def receive(request: Request, file: BinaryIO) -> Received:
    """Write the body to a file.

    Raises:
        Problem: it is incomplete, or differs from its checksum.
    """
    trailers: dict[str, str] = {}
    expected = request.header("Content-MD5").strip()
    if expected and not _MD5.fullmatch(expected):
        raise Problem(400, "InvalidDigest", "The Content-MD5 you specified was invalid.")
    pieces = _pieces(request)
    encoding = request.header("Content-Encoding").split(",")
    if request.header("x-amz-content-sha256").startswith(_STREAMING) or "aws-chunked" in encoding:
        pieces = _unchunked(pieces, trailers)
    algorithm = _algorithm(request)
    digest = hashlib.md5(usedforsecurity=False)
    other = ALGORITHMS[algorithm]() if algorithm in ALGORITHMS else None
    for piece in pieces:
        digest.update(piece)
        if other:
            other.update(piece)
        file.write(piece)
    file.flush()
    if expected and expected != base64.b64encode(digest.digest()).decode():
        raise Problem(400, "BadDigest", "The Content-MD5 you specified did not match.")
    name = f"x-amz-checksum-{algorithm.lower()}"
    claimed = request.header(name) or trailers.get(name, "") if algorithm else ""
    computed = base64.b64encode(other.digest()).decode() if other else ""
    if claimed and computed and claimed != computed:
        message = f"The {algorithm} you specified did not match the calculated checksum."
        raise Problem(400, "BadDigest", message)
    return Received(digest.hexdigest(), algorithm, computed or claimed)


def _algorithm(request: Request) -> str:
    """Return the name of the checksum that a request has or asks for, such as CRC32."""
    if named := request.header("x-amz-sdk-checksum-algorithm"):
        return named.upper()
    if trailer := request.header("x-amz-trailer"):
        return trailer.strip().removeprefix("x-amz-checksum-").upper()
    for name in request.headers.keys():  # noqa: SIM118 - not a dict
        found = re.fullmatch("x-amz-checksum-(crc32|crc32c|crc64nvme|sha1|sha256)", name.lower())
        if found:
            return found[1].upper()
    return ""


def _pieces(request: Request) -> Iterator[bytes]:
    """Yield the body as HTTP has it.

    Raises:
        Problem: the connection ended too early.
    """
    stream = request.environ["wsgi.input"]
    if request.environ.get("wsgi.input_terminated"):
        while piece := stream.read(_CHUNK):
            yield piece
        return
    left = int(request.environ.get("CONTENT_LENGTH") or 0)
    while left:
        piece = stream.read(min(_CHUNK, left))
        if not piece:
            raise _incomplete()
        left -= len(piece)
        yield piece


def _unchunked(pieces: Iterator[bytes], trailers: dict[str, str]) -> Iterator[bytes]:
    """Yield the contents of an `aws-chunked` body, and read its trailing headers.

    A chunk is its size in hex, perhaps `;chunk-signature=…`, a line end, contents, a line end.
    Source: "Signature Calculations for the Authorization Header: Transferring Payload in Multiple
    Chunks" in the S3 API reference.

    Raises:
        Problem: damaged.
    """
    rest = b""

    def line() -> bytes:
        nonlocal rest
        while b"\n" not in rest:
            piece = next(pieces, b"")
            if not piece:
                found, rest = rest, b""
                return found
            rest += piece
            if len(rest) > _LINE + _CHUNK:
                raise _incomplete()
        found, _, rest = rest.partition(b"\n")
        return found.rstrip(b"\r")

    while True:
        size_text = line().partition(b";")[0]
        if not re.fullmatch(rb"[0-9a-fA-F]{1,12}", size_text):
            raise _incomplete()
        size = int(size_text, 16)
        if not size:
            break
        while size:
            if not rest:
                rest = next(pieces, b"")
                if not rest:
                    raise _incomplete()
            piece, rest = rest[:size], rest[size:]
            size -= len(piece)
            yield piece
        if line():
            raise _incomplete()
    while trailer := line():
        name, _, value = trailer.decode("latin-1").partition(":")
        trailers[name.strip().lower()] = value.strip()
    for _ in pieces:  # the end of the body, so that the connection can be used again
        pass


def _incomplete() -> Problem:
    return Problem(
        400,
        "IncompleteBody",
        "The request body terminated unexpectedly, or is not in the announced chunks.",
    )
