"""What the verbs print: results on stdout, everything else on stderr; no terminal escapes."""

import json
import sys
from collections.abc import Iterable, Sequence
from datetime import date, datetime

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table

from scripts.console.safe import without_escapes
from scripts.requests import request as wire

# The width of a table that is written to a pipe.
_PIPE_WIDTH = 1_000
# Between two columns.
_GAP = 2


def note(text: str) -> None:
    """Print a line for the user to stderr; the next program in a pipe does not get it."""
    print(without_escapes(text), file=sys.stderr, flush=True)


def result(text: str) -> None:
    """Print a line of the result to stdout."""
    print(without_escapes(text), flush=True)


def dry_run(requests: Iterable[wire.Request]) -> None:
    """Print the requests instead of sending them."""
    result(wire.as_json(requests))


def table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, if_empty: str) -> None:
    """Print a table without borders, or `if_empty` to stderr.

    A word is never broken, because names are copied from tables: on a narrow terminal text wraps
    between words, and if that is not enough, the lines are longer than the terminal. In a pipe
    nothing wraps.
    """
    lines = [[without_escapes(cell) for cell in row] for row in rows]
    if not lines:
        note(if_empty)
        return
    made = Table(box=None, pad_edge=False)
    console = Console(highlight=False, markup=False)
    narrowest = 0
    for title, *cells in zip(map(without_escapes, columns), *lines, strict=True):
        longest = max(cell_len(word) for cell in (title, *cells) for word in cell.split() or [""])
        narrowest += longest + _GAP
        made.add_column(title, min_width=longest)
    for row in lines:
        made.add_row(*row)
    console.width = max(console.width, narrowest) if console.is_terminal else _PIPE_WIDTH
    console.print(made, crop=False)


def as_json(value: object) -> None:
    """Print a value of a verb's `--json`: times as ISO 8601, all other types as JSON has them."""
    result(json.dumps(value, indent=2, ensure_ascii=False, default=_iso_time))


def _iso_time(value: object) -> str:
    if isinstance(value, date):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} is not JSON")


def shortened(path: str, width: int = 40) -> str:
    """Cut a path in its middle on a terminal, so that its folder and its end can be read."""
    if len(path) <= width or not sys.stdout.isatty():
        return path
    end = width * 2 // 3
    return f"{path[: width - end - 1]}…{path[-end:]}"


def local_time(when: datetime | None) -> str:
    """Format a time to the minute, in the local time zone."""
    return when.astimezone().strftime("%Y-%m-%d %H:%M") if when else ""


def number(value: object) -> str:
    """Format a metric with four digits."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)
