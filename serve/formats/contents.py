"""The content types of a request, and how each becomes pictures.

The declared type only selects the reader. The format of a picture is detected from its bytes.
"""

from collections.abc import Callable
from dataclasses import dataclass
from email.message import Message

from pictures.decoder import ImageError, OversizeImage, UnsupportedImage
from serve.errors import RequestError
from serve.formats.envelopes import Content, check_count, from_form, from_json, from_npy

# The type of a request without a Content-Type.
UNDECLARED = "application/x-image"


@dataclass(frozen=True)
class Declared:
    """What a reader knows of a body: the whole Content-Type, and how many pictures are allowed."""

    header: str
    max_pictures: int


Reader = Callable[[bytes, Declared], Content]


def _picture(body: bytes, _: Declared) -> Content:
    return Content((body,))


def _form(body: bytes, declared: Declared) -> Content:
    message = Message()
    message["Content-Type"] = declared.header
    boundary = str(message.get_param("boundary") or "")
    return from_form(body, boundary, declared.max_pictures)


READERS: dict[str, Reader] = {
    "image/jpeg": _picture,
    "image/jpg": _picture,  # not a registered type, but many clients send it
    "image/png": _picture,
    "image/webp": _picture,
    "image/bmp": _picture,
    "image/tiff": _picture,
    "image/gif": _picture,
    "application/x-image": _picture,
    "application/octet-stream": _picture,
    "application/json": lambda body, declared: from_json(body, declared.max_pictures),
    "multipart/form-data": _form,
    "application/x-npy": lambda body, declared: from_npy(body, declared.max_pictures),
}


def read(content_type: str | None, body: bytes, *, max_pictures: int) -> Content:
    """Return the pictures in a request, not decoded yet.

    Args:
        content_type: the header as sent, or None.
        body: the request's bytes.
        max_pictures: in one request.

    Raises:
        RequestError: 415 unknown content type, 400 a body that does not match its type or has no
            picture, 422 too many pictures.
    """
    header = content_type or UNDECLARED
    declared = header.partition(";")[0].strip().lower()
    if declared not in READERS:
        raise RequestError(
            415, f"content type {declared[:100]!r} is not supported", f"send one of: {_supported()}"
        )
    content = READERS[declared](body, Declared(header, max_pictures))
    if not content.pictures:
        raise RequestError(
            400, "there is no picture in the request", f"send one of: {_supported()}"
        )
    check_count(len(content.pictures), max_pictures)
    return content


def picture_error(error: ImageError, position: int | None) -> RequestError:
    """Return the error of a request whose picture cannot be used.

    Args:
        error: from the decoder.
        position: of the picture in a list, from 1; None for a single one.
    """
    code = 400
    # Never 413: nginx checks the size of the body.
    if isinstance(error, OversizeImage):
        code = 422
    elif isinstance(error, UnsupportedImage):
        code = 415
    which = "" if position is None else f"picture {position}: "
    return RequestError(code, f"{which}{error}", f"send one of: {_supported()}")


def _supported() -> str:
    return ", ".join(READERS)
