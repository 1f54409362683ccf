"""What the first bytes of a body say: a picture, or another format under a wrong name."""

import json
import re

from pictures.decoding.errors import ImageError
from pictures.decoding.foreign import format_of

_JSON = re.compile(rb'\s{0,1000}(?:\xef\xbb\xbf\s{0,1000})?(?:[{\[]\s{0,1000}["{}\[\]0-9-]|")')
_JSON_HEAD = 4 * 2500  # bytes; UTF-32 has four for each character
_FORM = re.compile(rb"\s{0,4}--[^\r\n]{1,200}\r?\nContent-Disposition:", re.IGNORECASE)
# Files that tools leave among pictures, and that a batch transform sends as if they were some.
_LITTER = {
    re.compile(pattern): name
    for pattern, name in (
        (rb"\x00\x00\x00\x01Bud1", ".DS_Store of a Mac"),
        (rb"\x00\x05\x16\x07", "a Mac's resource file (its name begins with ._)"),
        (rb"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "Thumbs.db of Windows"),
        (rb"(\xff\xfe)?\s*\[\x00?\.\x00?S\x00?h\x00?e\x00?l\x00?l\x00?C", "desktop.ini of Windows"),
        (rb"\s*\[Picasa\]", "picasa.ini"),
        (rb'\s*\{\s*"sha256"\s*:\s*\{', "manifest.json of `kennel data upload`"),
    )
}


def litter(data: bytes) -> str | None:
    """Return the name of a file that a tool left among pictures; None if it is none."""
    return next((name for pattern, name in _LITTER.items() if pattern.match(data[:200])), None)


def picture_format(data: bytes) -> str | None:
    """Return the format of a picture that begins like this; None if it is not read here."""
    try:
        return format_of(data)
    except ImageError:
        return None


def is_json(data: bytes) -> bool:
    """Return whether a body begins as JSON does, in any of Unicode's encodings."""
    return _JSON.match(in_utf8(data[:_JSON_HEAD], "replace")) is not None


def in_utf8(text: bytes, errors: str = "strict") -> bytes:
    """Return JSON or JSON Lines in UTF-8, without a mark.

    Raises:
        UnicodeError: it is no text in its encoding. UTF-8 itself is not checked.
    """
    encoding = json.detect_encoding(text)
    return text if encoding == "utf-8" else text.decode(encoding, errors).encode()


def is_form(data: bytes) -> bool:
    """Return whether a body begins as a form of parts does."""
    return _FORM.match(data[:500]) is not None


def is_gzip(data: bytes) -> bool:
    """Return whether a body is compressed with gzip."""
    return data[:3] == b"\x1f\x8b\x08"
