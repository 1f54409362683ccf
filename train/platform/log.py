"""The log of a training job. Its lines are read by machines, so no other text can look like them.

CloudWatch finds metrics by `[metric]` and `kennel` finds trials by `[trial]`, which only
train.metrics writes. Names of folders and files, and messages of errors, come from strangers:
everything else goes through this module.
"""

import re
import sys
import traceback
from typing import TextIO

from pictures.text import printable

_TAG = re.compile(r"\[(metric|trial)\]")


def log(text: str, file: TextIO | None = None) -> None:
    """Print one line to stdout, or to `file`."""
    print(line(text), file=file or sys.stdout, flush=True)


def log_error(error: BaseException) -> None:
    """Print the traceback of an error to stderr."""
    print(block(_traceback(error)), file=sys.stderr, flush=True)


def failure(error: BaseException) -> str:
    """Return the contents of the failure file: the reason first, then the traceback."""
    return block(f"{type(error).__name__}: {error}\n\n{_traceback(error)}")


def line(text: str) -> str:
    """Return a text as one line that is neither a metric nor a trial."""
    return _TAG.sub(r"(\1)", printable(text))


def block(text: str) -> str:
    """Return a text of several lines; all lines after the first are indented."""
    first, *others = map(line, text.split("\n"))
    return "\n".join([first, *(f"  {one}" if one else "" for one in others)]).rstrip()


def _traceback(error: BaseException) -> str:
    return "".join(traceback.format_exception(error))
