"""A worker's pulse: that it lives, since when it is busy, and what it has done so far.

A few numbers in a file of its own, written by the worker and read by the supervisor; the clock is
the machine's monotonic one, the same for both.
"""

import contextlib
import os
import struct
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path

_BEAT_S = 1.0


@dataclass
class Work:
    """What was done, in numbers that only grow."""

    batches: int = 0
    answered: int = 0  # requests
    refused: int = 0  # requests answered with 4xx
    failed: int = 0  # requests answered with 5xx
    pictures: int = 0
    seconds: float = 0.0  # spent on batches

    def __add__(self, other: "Work") -> "Work":
        return Work(*(getattr(self, one.name) + getattr(other, one.name) for one in fields(self)))


@dataclass(frozen=True)
class Pulse:
    """One reading.

    Args:
        beat: when the process last showed that its threads run, monotonic seconds.
        busy_since: when it took up the batch that it works on; 0 while it waits for one.
        work: since it started.
    """

    beat: float
    busy_since: float
    work: Work

    def silent_s(self, now: float) -> float:
        """Return the seconds since the last beat."""
        return now - self.beat

    def busy_s(self, now: float) -> float:
        """Return the seconds spent on the batch at hand, 0 without one."""
        return now - self.busy_since if self.busy_since else 0.0


_FORM = struct.Struct("<2d5Qd")


def read(directory: Path, pid: int) -> Pulse | None:
    """Return a worker's pulse; None before its first beat."""
    try:
        data = _file(directory, pid).read_bytes()
    except FileNotFoundError:
        return None
    if len(data) != _FORM.size:
        return None
    beat, busy_since, *work = _FORM.unpack(data)
    return Pulse(beat, busy_since, Work(*work))


def forget(directory: Path, pid: int) -> None:
    """Remove what a process that is gone left."""
    _file(directory, pid).unlink(missing_ok=True)


def _file(directory: Path, pid: int) -> Path:
    return directory / f"{pid}.pulse"


class Heart:
    """The worker's side: beats every second until the process ends."""

    def __init__(self, directory: Path) -> None:
        self.work = Work()
        self._busy_since = 0.0
        self._file = os.open(_file(directory, os.getpid()), os.O_WRONLY | os.O_CREAT, 0o644)
        self._beat()
        threading.Thread(target=self._go_on, name="pulse", daemon=True).start()

    @contextlib.contextmanager
    def busy(self) -> Iterator[Work]:
        """Count the time inside as spent on one batch; the caller counts its requests."""
        begun = self._busy_since = time.monotonic()
        self._beat()
        try:
            yield self.work
        finally:
            self.work.batches += 1
            self.work.seconds += time.monotonic() - begun
            self._busy_since = 0.0
            self._beat()

    def _beat(self) -> None:
        work = self.work
        numbers = (work.batches, work.answered, work.refused, work.failed, work.pictures)
        data = _FORM.pack(time.monotonic(), self._busy_since, *numbers, work.seconds)
        os.pwrite(self._file, data, 0)

    def _go_on(self) -> None:
        while True:
            time.sleep(_BEAT_S)
            self._beat()
