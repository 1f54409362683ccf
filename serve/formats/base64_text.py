"""A picture written as text: base64 in any of its alphabets, or a data URL."""

import base64
import binascii
import re

from serve.errors import RequestError

HINT = (
    'send {"images": ["<base64>", "data:image/png;base64,…"], "parameters": {"top_k": 5}}, '
    "one base64 string, or a list of them"
)
_SCHEME = re.compile(r"(?!data:)[a-z][a-z0-9+.-]+:", re.IGNORECASE)  # C: is a drive of Windows
_FILE = re.compile(r".*\.(?:jpe?g|png|gif|webp|bmp|tiff?|heic)\s*", re.IGNORECASE)
# What encodeURIComponent and its like escape of base64; letters and digits stay.
_ESCAPES = {"%2B": "+", "%2F": "/", "%3D": "=", "%0A": "\n", "%0D": "\r", "%20": " "}
_LONGEST_NAME = 500
# The URL-safe alphabet to the standard one, without line ends and spaces.
_STANDARD = str.maketrans("-_", "+/", " \t\r\n\f\v")


def decoded(text: str, which: str) -> bytes:
    """Return the bytes: standard or URL-safe alphabet, with or without padding and line ends.

    Args:
        text: base64, or a data URL with base64.
        which: what an error calls it: `picture 2`, `line 3`.

    Raises:
        RequestError: 400, with the reason.

    Source: RFC 4648, sections 4 and 5; RFC 2397.
    """
    start = text[:100].lstrip()
    if _SCHEME.match(start):
        raise RequestError(
            400,
            f"{which} is a URL, and the server fetches nothing",
            "send the bytes of the picture in base64",
        )
    if len(text) < _LONGEST_NAME and _FILE.fullmatch(text):
        raise RequestError(
            400,
            f"{which} is the name of a file, and the server does not have it",
            "send the bytes of the file in base64",
        )
    if start[:5].lower() == "data:":
        declared, comma, text = text.partition(",")
        if not comma or not declared.strip().lower().endswith(";base64"):
            raise RequestError(400, f"{which}: a data URL must have ;base64,", HINT)
        if "%" in text:
            text = _unquoted(text)
    elif start[:1] in ("{", "["):
        raise RequestError(
            400,
            f"{which} is JSON in a string",
            "write the JSON once: with a client that does it itself, pass it the object",
        )
    elif start[:2] in ("b'", 'b"'):
        raise RequestError(
            400,
            f"{which} is the text of a Python bytes object (it starts with {start[:2]})",
            "decode it before you write the JSON: base64.b64encode(data).decode()",
        )
    if _lost_plus(text):
        raise RequestError(
            400,
            f"{which} has blanks where base64 has +",
            "a + in a URL or a form is a blank: encode it as %2B, or send JSON",
        )
    if not text.isascii():  # whose translation would be slow
        raise RequestError(400, f"{which} is not base64 (it has other characters than ASCII)", HINT)
    text = text.translate(_STANDARD).rstrip("=")
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError) as error:
        raise RequestError(400, f"{which} is not base64 ({error})", HINT) from None


def _unquoted(text: str) -> str:
    """Undo percent-encoding of what base64 is made of.

    Not by urllib's unquote, which makes an object of each escape: 450 MB for 6 MB of them.
    """
    for escape, character in _ESCAPES.items():
        text = text.replace(escape, character).replace(escape.lower(), character)
    return text


def _lost_plus(text: str) -> bool:
    """Return whether blanks are what was a plus: they are not at the ends of lines of one width."""
    if "+" in text or "\n" in text.strip():
        return False
    line = text.strip()
    blanks, width = line.count(" "), line.find(" ")
    # A list of the pieces would be an object for each blank.
    return blanks > 0 and line[width :: width + 1][:blanks] != " " * blanks
