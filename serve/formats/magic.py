"""What the first bytes of a body say: a picture, or another format under a wrong name."""

import re

# (offset, bytes, format). The decoder has the last word: these only select a reader.
_PICTURES = (
    (0, b"\xff\xd8\xff", "JPEG"),
    (0, b"\x89PNG\r\n\x1a\n", "PNG"),
    (0, b"GIF87a", "GIF"),
    (0, b"GIF89a", "GIF"),
    (8, b"WEBP", "WebP"),
    (0, b"II*\0", "TIFF"),
    (0, b"MM\0*", "TIFF"),
)
_BMP = re.compile(rb"BM.{4}\0\0\0\0", re.DOTALL)
_FORM = re.compile(rb"\s{0,4}--[^\r\n]{1,200}\r?\nContent-Disposition:", re.IGNORECASE)


def picture_format(data: bytes) -> str | None:
    """Return the format of a picture that begins like this; None if it is none that we know."""
    for offset, magic, name in _PICTURES:
        if data[offset : offset + len(magic)] == magic:
            return name
    return "BMP" if _BMP.match(data[:16]) else None


def is_json(data: bytes) -> bool:
    """Return whether a body begins as JSON does."""
    return data[:64].lstrip(b"\xef\xbb\xbf \t\r\n")[:1] in (b"{", b"[", b'"')


def is_form(data: bytes) -> bool:
    """Return whether a body begins as a form of parts does."""
    return _FORM.match(data[:500]) is not None


def is_gzip(data: bytes) -> bool:
    """Return whether a body is compressed with gzip."""
    return data[:3] == b"\x1f\x8b\x08"
