"""What the verbs print: results on stdout, everything said beside them on stderr."""

import sys
from collections.abc import Iterable, Sequence
from datetime import datetime

from rich.console import Console
from rich.table import Table

from scripts.requests.request import Request, as_json

# Columns of a table in a pipe.
_WIDE = 1_000


def say(text: str) -> None:
    """One line for the person, not for the next program in a pipe."""
    print(text, file=sys.stderr, flush=True)


def tell(text: str) -> None:
    """One line of the result; a reader that went away ends the verb quietly."""
    print(text, flush=True)


def dry(requests: Iterable[Request]) -> None:
    """Print the calls instead of making them."""
    tell(as_json(requests))


def table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, none: str) -> None:
    """A table without borders, or `none` on stderr where it would be empty.

    In a pipe nothing is cut off: lines are as long as they need to be.
    """
    made = Table(*columns, box=None, pad_edge=False)
    count = 0
    for count, row in enumerate(rows, 1):  # noqa: B007
        made.add_row(*row)
    if not count:
        say(none)
        return
    console = Console(highlight=False, markup=False)
    if not console.is_terminal:
        console.width = _WIDE
    console.print(made)


def moment(when: datetime | None) -> str:
    """Local time to the minute."""
    return when.astimezone().strftime("%Y-%m-%d %H:%M") if when else ""


def number(value: object) -> str:
    """A metric or hyperparameter, without noise."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)
