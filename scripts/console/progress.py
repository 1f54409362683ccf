"""Progress: a bar or a spinner on a terminal; in notebooks and CI a line every ten seconds.

rich.progress is imported when a bar is shown, so that other verbs start without it
(benchmarks/startup.py).
"""

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal, Protocol

from scripts.console import terminal

# Seconds between two lines where there is no terminal.
LINE_EVERY_S = 10.0


class Advance(Protocol):
    """Moves the bar on by `amount`; `total` is given once it is known."""

    def __call__(self, amount: int, total: int | None = None) -> None:
        """Move the bar."""


@contextmanager
def bar(label: str, unit: Literal["files", "bytes"], total: int | None = None) -> Iterator[Advance]:
    """Show the progress on stderr until the block ends."""
    if not sys.stderr.isatty():
        yield _lines(label, unit, total)
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn() if unit == "bytes" else MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    ) as progress:
        task = progress.add_task(label, total=total)

        def advance(amount: int, total: int | None = None) -> None:
            progress.update(task, advance=amount, total=total)

        yield advance


@contextmanager
def waiting() -> Iterator[Callable[[str], None]]:
    """Show what is waited for on stderr until the block ends.

    Yields:
        A function that takes the text, without the time; it is called again and again.
    """
    started = time.monotonic()
    if not sys.stderr.isatty():
        printed = [started]

        def line(text: str) -> None:
            now = time.monotonic()
            if now - printed[0] >= LINE_EVERY_S:
                printed[0] = now
                terminal.note(f"{now - started:5.0f} s  {text}")

        yield line
        return
    from rich.console import Console

    with Console(stderr=True, highlight=False, markup=False).status("") as status:
        yield lambda text: status.update(f"{text} ({time.monotonic() - started:.0f} s)")


@contextmanager
def working(label: str) -> Iterator[None]:
    """Show on stderr what is being done, where nothing can be counted, until the block ends.

    The block prints nothing.
    """
    if sys.stderr.isatty():
        from rich.console import Console

        with Console(stderr=True, highlight=False, markup=False).status(label):
            yield
        return
    started, ended = time.monotonic(), threading.Event()

    def lines() -> None:
        while not ended.wait(LINE_EVERY_S):
            terminal.note(f"{time.monotonic() - started:5.0f} s  {label}")

    thread = threading.Thread(target=lines, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _lines(label: str, unit: Literal["files", "bytes"], total: int | None) -> Advance:
    """Print a line every ten seconds."""
    started = printed = time.monotonic()
    done, of = 0, total

    def advance(amount: int, total: int | None = None) -> None:
        nonlocal done, of, printed
        done, of, now = done + amount, total or of, time.monotonic()
        if now - printed >= LINE_EVERY_S:
            printed = now
            left = f", about {(now - started) / done * (of - done):.0f} s left" if of else ""
            terminal.note(f"{label}: {_amount(done, unit)} of {_amount(of, unit)}{left}")

    return advance


def _amount(count: int | None, unit: str) -> str:
    if count is None:
        return "?"
    return f"{count / 2**20:,.1f} MiB" if unit == "bytes" else f"{count:,}"
