"""What a request may carry: its content types, and how each becomes a picture.

The declared type only says which reader to use; the picture's format is told from its bytes.
"""

from collections.abc import Callable

from PIL import Image

from classifier.images import ImageError, OversizeImage, UnreadableImage, UnsupportedImage, decode
from serve.errors import RequestError

# What a request without a Content-Type is taken for.
UNDECLARED = "application/x-image"

Reader = Callable[[bytes, int], Image.Image]


def _picture(body: bytes, max_pixels: int) -> Image.Image:
    return decode(body, max_pixels=max_pixels)


READERS: dict[str, Reader] = {
    "image/jpeg": _picture,
    "image/jpg": _picture,  # no registered type, yet what many clients send
    "image/png": _picture,
    "image/webp": _picture,
    "image/bmp": _picture,
    "image/tiff": _picture,
    "image/gif": _picture,
    "application/x-image": _picture,
    "application/octet-stream": _picture,
}

_STATUS: dict[type[ImageError], int] = {
    UnreadableImage: 400,
    UnsupportedImage: 415,
    OversizeImage: 413,
}


def reader(content_type: str | None) -> Reader:
    """Return the reader for a `Content-Type` header; its parameters play no part.

    Raises:
        RequestError: 415, naming the types there are.
    """
    declared = (content_type or UNDECLARED).partition(";")[0].strip().lower()
    try:
        return READERS[declared]
    except KeyError:
        raise RequestError(
            415,
            f"content type {declared[:100]!r} is not taken",
            f"send the picture's own bytes as one of: {', '.join(READERS)}",
        ) from None


def read(content_type: str | None, body: bytes, *, max_pixels: int) -> Image.Image:
    """Return the picture in a request: upright, RGB.

    Args:
        content_type: the header as sent, or None.
        body: the request's bytes.
        max_pixels: width x height allowed; more is refused from the header alone.

    Raises:
        RequestError: 415 for a type or format that is not taken, 400 for bytes that are no
            readable picture, 413 for too many pixels.
    """
    read_body = reader(content_type)
    try:
        return read_body(body, max_pixels)
    except ImageError as error:
        raise RequestError(
            _STATUS.get(type(error), 400), str(error), f"send one of: {', '.join(READERS)}"
        ) from error
