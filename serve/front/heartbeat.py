"""A worker's heartbeat: that it lives, since when it is busy, and its counters.

Each worker writes a few numbers into a file of its own and the supervisor reads them. Both use the
machine's monotonic clock.
"""

import contextlib
import os
import struct
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path

_INTERVAL_S = 1.0


@dataclass
class Work:
    """Counters of the work done; they only grow."""

    batches: int = 0
    answered: int = 0  # requests
    refused: int = 0  # requests answered with 4xx
    failed: int = 0  # requests answered with 5xx
    pictures: int = 0
    seconds: float = 0.0  # spent on batches

    def __add__(self, other: "Work") -> "Work":
        return Work(*(getattr(self, one.name) + getattr(other, one.name) for one in fields(self)))


@dataclass(frozen=True)
class Heartbeat:
    """One reading.

    Args:
        beat: when the process last showed that its threads run, monotonic seconds.
        busy_since: when the current step of a batch began; 0 while the worker is idle.
        work: since the start of the process.
    """

    beat: float
    busy_since: float
    work: Work

    def silent_s(self, now: float) -> float:
        """Return the seconds since the last beat."""
        return now - self.beat

    def busy_s(self, now: float) -> float:
        """Return the seconds spent on the current step of a batch, 0 without one."""
        return now - self.busy_since if self.busy_since else 0.0


_FORMAT = struct.Struct("<2d5Qd")


def read(directory: Path, pid: int) -> Heartbeat | None:
    """Return a worker's heartbeat; None before the first one."""
    try:
        data = _file(directory, pid).read_bytes()
    except FileNotFoundError:
        return None
    if len(data) != _FORMAT.size:
        return None
    beat, busy_since, *work = _FORMAT.unpack(data)
    return Heartbeat(beat, busy_since, Work(*work))


def remove(directory: Path, pid: int) -> None:
    """Remove the file of a process that has ended."""
    _file(directory, pid).unlink(missing_ok=True)


def _file(directory: Path, pid: int) -> Path:
    return directory / f"{pid}.heartbeat"


class HeartbeatWriter:
    """The worker's side: writes every second until the process ends."""

    def __init__(self, directory: Path) -> None:
        self.work = Work()
        self._busy_since = 0.0
        self._file = os.open(_file(directory, os.getpid()), os.O_WRONLY | os.O_CREAT, 0o644)
        self._write()
        threading.Thread(target=self._write_forever, name="heartbeat", daemon=True).start()

    @contextlib.contextmanager
    def busy(self) -> Iterator[Work]:
        """Count the time inside as spent on one batch; the caller counts its requests."""
        begun = self._busy_since = time.monotonic()
        self._write()
        try:
            yield self.work
        finally:
            self.work.batches += 1
            self.work.seconds += time.monotonic() - begun
            self._busy_since = 0.0
            self._write()

    def step(self) -> None:
        """Note the end of a step of the batch: a slow batch that goes on is not stuck."""
        if self._busy_since:
            self._busy_since = time.monotonic()

    def _write(self) -> None:
        work = self.work
        counters = (work.batches, work.answered, work.refused, work.failed, work.pictures)
        data = _FORMAT.pack(time.monotonic(), self._busy_since, *counters, work.seconds)
        os.pwrite(self._file, data, 0)

    def _write_forever(self) -> None:
        while True:
            time.sleep(_INTERVAL_S)
            self._write()
