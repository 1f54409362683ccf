"""Progress of a pass over pictures and of the whole job: a bar in a terminal, lines in a log."""

import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from tqdm import tqdm

T = TypeVar("T")
EVERY_SECONDS = 10.0


@dataclass
class Whole:
    """The passes that a job will make, in units of work such as epochs or pictures.

    It is an estimate: what happens between passes counts in the time, and a job can end earlier.
    """

    total: float
    done: float = 0.0  # in this start of the job
    _began: float | None = None

    def begin(self) -> None:
        """Start the clock, once."""
        self._began = time.monotonic() if self._began is None else self._began

    def left(self, worked: float, remaining: float) -> str:
        """Return the time left in words.

        Args:
            worked: units done in the current pass since it began.
            remaining: units left in it.
        """
        begin = time.monotonic() if self._began is None else self._began
        done = self.done + worked
        rest = max(0.0, self.total - done)
        rest = max(rest, remaining)
        if not done:
            return ""
        return f"about {_words((time.monotonic() - begin) / done * rest)} left in all"


def follow(
    batches: Iterable[T],
    title: str,
    *,
    done: int,
    total: int,
    show: bool,
    whole: Whole | None = None,
    units: float = 1.0,
) -> Iterator[T]:
    """Yield from `batches` and show how many are done, and how much time is left.

    Args:
        batches: one pass.
        title: of the pass.
        done: batches that an earlier start did; they are at the beginning and not in `batches`.
        total: batches of the pass, with those.
        show: whether this process shows it.
        whole: the job, to show its time too.
        units: of the pass in the whole.
    """
    if whole:
        whole.begin()
        whole.total -= units * done / max(total, 1)
    if not show:
        yield from batches
    elif sys.stderr.isatty():
        yield from _bar(batches, title, done, total, whole, units)
    else:
        yield from _lines(batches, title, done, total, whole, units)
    if whole:
        whole.done += units * (total - done) / max(total, 1)


def _bar(
    batches: Iterable[T], title: str, done: int, total: int, whole: Whole | None, units: float
) -> Iterator[T]:
    with tqdm(
        batches, desc=title, initial=done, total=total, unit="batch", leave=False, ncols=100
    ) as bar:
        for number, batch in enumerate(bar, done + 1):
            yield batch
            if whole:
                bar.set_postfix_str(_in_all(whole, units, done, number, total), refresh=False)


def _lines(
    batches: Iterable[T], title: str, done: int, total: int, whole: Whole | None, units: float
) -> Iterator[T]:
    start = last = time.monotonic()
    for number, batch in enumerate(batches, done + 1):
        yield batch
        now = time.monotonic()
        if now - last >= EVERY_SECONDS:
            last = now
            left = (now - start) / (number - done) * (total - number)
            line = f"{title}: batch {number} of {total}, {left:.0f} s left"
            in_all = _in_all(whole, units, done, number, total) if whole else ""
            print(f"{line}; {in_all}" if in_all else line, flush=True)


def _in_all(whole: Whole, units: float, done: int, number: int, total: int) -> str:
    each = units / max(total, 1)
    return whole.left(each * (number - done), each * (total - number))


def _words(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"
