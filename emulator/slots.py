"""How many job instances run at once on this machine; the others wait, first come, first served."""

import contextlib
import itertools
import os
import threading
from collections.abc import Callable, Iterator

import psutil

_GIB = 2**30
# What one instance needs at least: a small network on the CPU.
_MEMORY_GIB = 2
_POLL_S = 0.1


def fitting() -> int:
    """Return how many instances fit this machine: one for each core, with 2 GiB of memory each."""
    try:
        cores = len(os.sched_getaffinity(0))
    except AttributeError:  # not on Linux
        cores = os.cpu_count() or 1
    memory = psutil.virtual_memory().total // (_MEMORY_GIB * _GIB)
    return max(1, min(cores, int(memory)))


class Slots:
    """Slots for instances. A job that needs more than there are runs alone.

    Args:
        count: how many.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self._free = count
        self._changed = threading.Condition()
        self._numbers = itertools.count()
        self._waiting: list[int] = []

    @contextlib.contextmanager
    def take(self, wanted: int, give_up: Callable[[], bool]) -> Iterator[bool]:
        """Wait for slots and hold them until the `with` block ends.

        Args:
            wanted: how many.
            give_up: asked while waiting; if it is true, no slot is taken.

        Yields:
            Whether the slots were taken.
        """
        wanted = min(wanted, self.count)
        taken = False
        with self._changed:
            number = next(self._numbers)
            self._waiting.append(number)
            while not give_up():
                if self._waiting[0] == number and self._free >= wanted:
                    self._free -= wanted
                    taken = True
                    break
                self._changed.wait(_POLL_S)
            self._waiting.remove(number)
            self._changed.notify_all()
        try:
            yield taken
        finally:
            if taken:
                with self._changed:
                    self._free += wanted
                    self._changed.notify_all()
