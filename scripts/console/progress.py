"""A progress bar on a terminal; nothing elsewhere.

rich.progress is imported when a bar is shown, so that other verbs start without it
(benchmarks/startup.py).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, Protocol


class Advance(Protocol):
    """Moves the bar on by `amount`; `total` is given once it is known."""

    def __call__(self, amount: int, total: int | None = None) -> None:
        """Move the bar."""


@contextmanager
def bar(label: str, unit: Literal["files", "bytes"], total: int | None = None) -> Iterator[Advance]:
    """Show a bar on stderr until the block ends."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, MofNCompleteColumn, Progress, TextColumn

    console = Console(stderr=True)
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn() if unit == "bytes" else MofNCompleteColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    ) as progress:
        task = progress.add_task(label, total=total)

        def advance(amount: int, total: int | None = None) -> None:
            progress.update(task, advance=amount, total=total)

        yield advance
