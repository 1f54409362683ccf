"""`Content-Encoding`: a body that the client compressed, restored within the limit of its size."""

import zlib

from serve.errors import RequestError

_GZIP = ("gzip", "x-gzip")  # RFC 9110, section 8.4.1.3
_GZIP_HEADER = 16  # for zlib: expect the header of gzip


class UnpackedTooLargeError(RequestError):
    """A body that is too large when it is unpacked."""


def undo(encoding: str | None, body: bytes, most: int) -> bytes:
    """Return the body as it was before the client compressed it.

    Args:
        encoding: the header Content-Encoding, or None.
        body: as received.
        most: the largest body, in bytes; no more than that is ever unpacked.

    Raises:
        RequestError: 415 another encoding than gzip, 400 damaged.
        UnpackedTooLargeError: 422 larger than `most`.
    """
    names = [name.strip().lower() for name in (encoding or "").split(",")]
    names = [name for name in names if name not in ("", "identity")]
    if not names:
        return body
    if len(names) > 1 or names[0] not in _GZIP:
        raise RequestError(
            415,
            f"Content-Encoding {', '.join(names)[:100]!r} is not supported",
            "send the body as it is, or with Content-Encoding: gzip",
        )
    unpacker = zlib.decompressobj(zlib.MAX_WBITS + _GZIP_HEADER)
    try:
        plain = unpacker.decompress(body, most + 1)
    except zlib.error as error:
        raise _damaged(f"it is not gzip: {error}") from None
    if len(plain) > most:
        raise UnpackedTooLargeError(
            422,
            f"the body is larger than {most:,} bytes when it is unpacked",
            "send a smaller picture, or raise SAGEMAKER_MAX_PAYLOAD_IN_MB",
        )
    if not unpacker.eof:
        raise _damaged("it is cut short")
    if unpacker.unused_data.strip(b"\0"):
        raise _damaged("there are more bytes after its end")
    return plain


def _damaged(reason: str) -> RequestError:
    return RequestError(
        400,
        f"the body has Content-Encoding gzip, but {reason}",
        "compress the whole body once, or send it as it is without Content-Encoding",
    )
