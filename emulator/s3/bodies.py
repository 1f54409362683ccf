"""The body of a request, written to a file piece by piece; its checksums are checked."""

import base64
import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from typing import Any, BinaryIO

import anycrc

from emulator.s3 import offered
from emulator.s3.request import Problem, Request

_CHUNK = 2**18
_LINE = 8192
_MD5 = re.compile("[A-Za-z0-9+/]{22}==")
_CHUNKED = "aws-chunked"  # of Content-Encoding
_STREAMING = "STREAMING-"  # of x-amz-content-sha256: the body has chunks inside of HTTP's own


class _Crc:
    """A CRC with hashlib's methods.

    Args:
        name: in anycrc's catalogue.
        bits: of the checksum.
    """

    def __init__(self, name: str, bits: int) -> None:
        self._model, self._bytes = anycrc.Model(name), bits // 8
        self._value: int = self._model.calc(b"")

    def update(self, data: bytes) -> None:
        self._value = self._model.calc(data, self._value)

    def digest(self) -> bytes:
        """Return the checksum, the highest byte first, as S3 has it."""
        return self._value.to_bytes(self._bytes, "big")


ALGORITHMS: dict[str, Any] = {
    "CRC32": lambda: _Crc("CRC32", 32),
    "CRC32C": lambda: _Crc("CRC32C", 32),
    "CRC64NVME": lambda: _Crc("CRC64-NVME", 64),
    "MD5": lambda: hashlib.md5(usedforsecurity=False),
    "SHA1": lambda: hashlib.sha1(usedforsecurity=False),
    "SHA256": hashlib.sha256,
    "SHA512": hashlib.sha512,
}
CHECKSUM = "x-amz-checksum-"  # of headers; the algorithm follows
WHOLE = "FULL_OBJECT"  # the type of a checksum that is not made of the parts' checksums
_NO_ALGORITHM = ("algorithm", "mode", "type")


@dataclass(frozen=True)
class Received:
    """A body that is in a file: MD5 in hex; the checksum that the client asked for, in base64."""

    md5: str
    algorithm: str = ""
    checksum: str = ""


def base64_of(digest: Any) -> str:
    """Return a checksum as S3 writes it."""
    return base64.b64encode(digest.digest()).decode()


def receive(request: Request, file: BinaryIO) -> Received:
    """Write the body to a file.

    Raises:
        Problem: it is incomplete, has no length, or differs from its checksum.
    """
    trailers: dict[str, str] = {}
    expected = request.header("Content-MD5").strip()
    if expected and not _MD5.fullmatch(expected):
        raise Problem(400, "InvalidDigest", "The Content-MD5 you specified was invalid.")
    pieces = _pieces(request)
    is_chunked = request.header("x-amz-content-sha256").startswith(_STREAMING)
    if _drop_chunked(request.environ) or is_chunked:
        pieces = _unchunked(pieces, trailers)
    elif request.environ.get("wsgi.input_terminated"):
        message = "A header you provided implies functionality that is not implemented"
        raise Problem(501, "NotImplemented", message, Header="Transfer-Encoding")
    algorithm = _algorithm(request)
    digest = hashlib.md5(usedforsecurity=False)
    other = ALGORITHMS[algorithm]() if algorithm else None
    if claimed := request.header(f"{CHECKSUM}{algorithm}"):
        _check_form(claimed, other, f"{CHECKSUM}{algorithm.lower()} header")
    for piece in pieces:
        digest.update(piece)
        if other:
            other.update(piece)
        file.write(piece)
    file.flush()
    if expected and expected != base64_of(digest):
        raise Problem(400, "BadDigest", "The Content-MD5 you specified did not match.")
    announced = request.header("x-amz-trailer").strip().lower()
    if announced and announced not in trailers:
        raise Problem(
            400,
            "MalformedTrailerError",
            "The request contained trailing data that was not well-formed or did not conform to "
            f"our published schema: there is no {announced}",
        )
    if not other:
        return Received(digest.hexdigest())
    if trailer := trailers.get(f"{CHECKSUM}{algorithm.lower()}", ""):
        _check_form(trailer, other, f"{CHECKSUM}{algorithm.lower()} trailing header")
    check_claimed(claimed or trailer, base64_of(other), algorithm)
    return Received(digest.hexdigest(), algorithm, base64_of(other))


def for_moto(request: Request) -> Received:
    """Check the body of an object that moto will store, and give it to moto without its chunks.

    Moto holds it in memory, and checks nothing.

    Raises:
        Problem: it is incomplete, or differs from its checksum.
    """
    file, environ = BytesIO(), request.environ
    received = receive(request, file)
    for name in ("TRANSFER_ENCODING", "X_AMZ_DECODED_CONTENT_LENGTH", "X_AMZ_TRAILER"):
        environ.pop(f"HTTP_{name}", None)
    environ.pop("wsgi.input_terminated", None)
    environ["HTTP_X_AMZ_CONTENT_SHA256"] = "UNSIGNED-PAYLOAD"
    environ["CONTENT_LENGTH"] = str(file.tell())
    file.seek(0)
    environ["wsgi.input"] = file
    if received.algorithm:
        environ["HTTP_X_AMZ_SDK_CHECKSUM_ALGORITHM"] = received.algorithm
        environ[f"HTTP_X_AMZ_CHECKSUM_{received.algorithm}"] = received.checksum
    return received


def _drop_chunked(environ: dict[str, Any]) -> bool:
    """Remove AWS's chunks from Content-Encoding; return whether it had them."""
    given = [one.strip() for one in environ.pop("HTTP_CONTENT_ENCODING", "").split(",")]
    if kept := ",".join(one for one in given if one not in ("", _CHUNKED)):
        environ["HTTP_CONTENT_ENCODING"] = kept
    return _CHUNKED in given


def check_claimed(claimed: str, computed: str, algorithm: str) -> None:
    """Check a checksum that a client gave, if it gave one.

    Raises:
        Problem: it is another one.
    """
    if claimed and claimed != computed:
        message = f"The {algorithm} you specified did not match the calculated checksum."
        raise Problem(400, "BadDigest", message)


def checksum_headers(request: Request) -> dict[str, str]:
    """Return the checksums in a request's headers: the algorithm in upper case, and the value.

    Raises:
        Problem: there are several, or one of an algorithm that is not emulated.
    """
    found = {
        name[len(CHECKSUM) :].upper(): value
        for name, value in request.headers.items()
        if name.lower().startswith(CHECKSUM) and name[len(CHECKSUM) :].lower() not in _NO_ALGORITHM
    }
    if len(found) > 1:
        message = (
            "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed."
        )
        raise Problem(400, "InvalidRequest", message)
    for name in found:
        check_algorithm(name)
    return found


def check_algorithm(name: str) -> None:
    """Refuse an algorithm whose checksums could not be checked.

    Raises:
        Problem: names it.
    """
    if name not in ALGORITHMS:
        raise offered.not_emulated(f"The checksum algorithm {name!r}")


def _check_form(claimed: str, digest: Any, where: str) -> None:
    """Check that a checksum is one of its algorithm.

    Raises:
        Problem: it is not.
    """
    try:
        size = len(base64.b64decode(claimed, validate=True))
    except ValueError:
        size = 0
    if size != len(digest.digest()):
        raise Problem(400, "InvalidRequest", f"Value for {where} is invalid.")


def _algorithm(request: Request) -> str:
    """Return the name of the checksum that a request has or asks for, such as CRC32.

    Raises:
        Problem: it has several, or one that is not emulated.
    """
    for name in checksum_headers(request):
        return name
    trailer = request.header("x-amz-trailer").strip().removeprefix(CHECKSUM)
    name = (trailer or request.header("x-amz-sdk-checksum-algorithm")).upper()
    if name:
        check_algorithm(name)
    return name


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
