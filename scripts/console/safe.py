"""Text from elsewhere (logs of jobs, labels, names, AWS's messages) without terminal escapes."""

import re

# Introduced by ESC or by one C1 character: CSI up to its final byte; OSC, DCS, SOS, PM and APC with
# their text, up to the terminator; then ESC with one more character.
# Source: ECMA-48, section 5.4 and 5.6.
_SEQUENCE = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"
    r"|(?:\x1b[\]PX^_]|[\x9d\x90\x98\x9e\x9f])[^\x07\x1b\x9c\n]*(?:\x07|\x1b\\|\x9c)?"
    r"|\x1b[ -/]*[0-~]?"
)
# All control characters but tab and newline; characters that change the direction of the text.
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def without_escapes(text: str) -> str:
    """Return the text without escape sequences and control characters; lines and tabs stay.

    A lone surrogate, from a file name that is not UTF-8, becomes its escape.
    """
    text = _CONTROL.sub("", _SEQUENCE.sub("", text.replace("\r\n", "\n")))
    return text.encode(errors="backslashreplace").decode()
