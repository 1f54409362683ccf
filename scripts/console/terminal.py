"""What the verbs print: results on stdout, everything else on stderr; no terminal escapes."""

import sys
from collections.abc import Iterable, Sequence
from datetime import datetime

from rich.console import Console
from rich.table import Table

from scripts.console.safe import without_escapes
from scripts.requests.request import Request, as_json

# The width of a table that is written to a pipe.
_PIPE_WIDTH = 1_000


def note(text: str) -> None:
    """Print a line for the user to stderr; the next program in a pipe does not get it."""
    print(without_escapes(text), file=sys.stderr, flush=True)


def result(text: str) -> None:
    """Print a line of the result to stdout."""
    print(without_escapes(text), flush=True)


def dry_run(requests: Iterable[Request]) -> None:
    """Print the requests instead of sending them."""
    result(as_json(requests))


def table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, if_empty: str) -> None:
    """Print a table without borders, or `if_empty` to stderr.

    In a pipe nothing is cut off: lines are as long as they need to be.
    """
    made = Table(*map(without_escapes, columns), box=None, pad_edge=False)
    for row in rows:
        made.add_row(*map(without_escapes, row))
    if not made.row_count:
        note(if_empty)
        return
    console = Console(highlight=False, markup=False)
    if not console.is_terminal:
        console.width = _PIPE_WIDTH
    console.print(made)


def local_time(when: datetime | None) -> str:
    """Format a time to the minute, in the local time zone."""
    return when.astimezone().strftime("%Y-%m-%d %H:%M") if when else ""


def number(value: object) -> str:
    """Format a metric with four digits."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)
