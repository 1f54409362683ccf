"""What the first bytes of a body say: a picture, or another format under a wrong name."""

import re

from pictures.decoding.errors import ImageError
from pictures.decoding.foreign import format_of

_FORM = re.compile(rb"\s{0,4}--[^\r\n]{1,200}\r?\nContent-Disposition:", re.IGNORECASE)


def picture_format(data: bytes) -> str | None:
    """Return the format of a picture that begins like this; None if it is not read here."""
    try:
        return format_of(data)
    except ImageError:
        return None


def is_json(data: bytes) -> bool:
    """Return whether a body begins as JSON does."""
    return data[:64].lstrip(b"\xef\xbb\xbf \t\r\n")[:1] in (b"{", b"[", b'"')


def is_form(data: bytes) -> bool:
    """Return whether a body begins as a form of parts does."""
    return _FORM.match(data[:500]) is not None


def is_gzip(data: bytes) -> bool:
    """Return whether a body is compressed with gzip."""
    return data[:3] == b"\x1f\x8b\x08"
