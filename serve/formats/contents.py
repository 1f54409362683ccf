"""What a request may carry: its content types, and how each becomes pictures.

The declared type only says which reader to use; a picture's format is told from its bytes.
"""

from collections.abc import Callable
from email.message import Message

from pictures.decoder import ImageError, OversizeImage, UnsupportedImage
from serve.errors import RequestError
from serve.formats.envelopes import Content, from_form, from_json, from_npy

# What a request without a Content-Type is taken for.
UNDECLARED = "application/x-image"

Reader = Callable[[bytes, str], Content]  # the body, and the whole header


def _picture(body: bytes, _: str) -> Content:
    return Content((body,))


def _form(body: bytes, header: str) -> Content:
    message = Message()
    message["Content-Type"] = header
    return from_form(body, str(message.get_param("boundary") or ""))


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
    "application/json": lambda body, _: from_json(body),
    "multipart/form-data": _form,
    "application/x-npy": lambda body, _: from_npy(body),
}


def read(content_type: str | None, body: bytes, *, most: int) -> Content:
    """Return the pictures in a request, not decoded yet.

    Args:
        content_type: the header as sent, or None.
        body: the request's bytes.
        most: pictures allowed.

    Raises:
        RequestError: 415 for a type that is not taken, 400 for a body that is not of its type or
            has no picture, 422 for too many of them.
    """
    header = content_type or UNDECLARED
    declared = header.partition(";")[0].strip().lower()
    if declared not in READERS:
        raise RequestError(
            415, f"content type {declared[:100]!r} is not taken", f"send one of: {_taken()}"
        )
    content = READERS[declared](body, header)
    if not content.pictures:
        raise RequestError(400, "there is no picture in the request", f"send one of: {_taken()}")
    if len(content.pictures) > most:
        raise RequestError(
            422,
            f"{len(content.pictures)} pictures in one request; at most {most} are taken",
            "send them in several requests, or raise KENNEL_MAX_PICTURES",
        )
    return content


def refusal(error: ImageError, place: int | None) -> RequestError:
    """Return the answer to a picture that cannot be used.

    Args:
        error: from the decoder.
        place: which of several pictures it is, from 1; None for the only one.
    """
    code = 400
    # No 413: nginx answers for all of those, since only it sees how large a body is.
    if isinstance(error, OversizeImage):
        code = 422
    elif isinstance(error, UnsupportedImage):
        code = 415
    which = "" if place is None else f"picture {place}: "
    return RequestError(code, f"{which}{error}", f"send one of: {_taken()}")


def _taken() -> str:
    return ", ".join(READERS)
