"""Text of strangers (names of folders and files, messages of decoders), made safe to write."""

import unicodedata

# Control characters, lone surrogates, line and paragraph separators.
_ESCAPED = ("Cc", "Cs", "Zl", "Zp")
# Change the direction of the text around them.
_BIDI = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
# A spreadsheet runs a cell that begins with one of them as a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def printable(text: str) -> str:
    r"""Return the text as one line that cannot control a terminal: a newline becomes `\n`."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(map(_escape, text))


def cell(text: str) -> str:
    """Return a text for a cell of a CSV file: a spreadsheet shows it and does not run it.

    Source: OWASP, "CSV Injection". Give numbers to the CSV writer as numbers.
    """
    return f"'{printable(text)}" if text.startswith(_FORMULA) else printable(text)


def _escape(character: str) -> str:
    if unicodedata.category(character) in _ESCAPED or character in _BIDI:
        return character.encode("unicode_escape").decode()
    return character
