"""Progress of an epoch: a bar in a terminal, plain lines in a log."""

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from tqdm import tqdm

T = TypeVar("T")
EVERY_SECONDS = 30.0


def follow(batches: Iterable[T], title: str, *, done: int, total: int, show: bool) -> Iterator[T]:
    """Yield from `batches` and show how many of `total` are done; `done` are at the beginning."""
    if not show:
        yield from batches
    elif sys.stderr.isatty():
        yield from tqdm(
            batches, desc=title, initial=done, total=total, unit="batch", leave=False, ncols=80
        )
    else:
        start = last = time.monotonic()
        for number, batch in enumerate(batches, done + 1):
            yield batch
            now = time.monotonic()
            if now - last >= EVERY_SECONDS:
                last = now
                left = (now - start) / (number - done) * (total - number)
                print(f"{title}: batch {number} of {total}, {left:.0f} s left", flush=True)
