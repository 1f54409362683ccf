"""Where records go: the disk and the rules. What fails is said once, and training goes on."""

import threading
from collections.abc import Callable
from pathlib import Path

from debugger import recording
from debugger.records import Note, Record


class Sink:
    """Takes records from the training loop and the sampler's thread alike.

    Until `open`, they are kept: a recording begins with its Start.
    """

    def __init__(self, folder: Path, host: str, rank: int, now: Callable[[], float]) -> None:
        self.folder, self._host, self._rank, self._now = folder, host, rank, now
        self._lock = threading.RLock()
        self._kept: list[Record] | None = []
        self._writer: recording.Writer | None = None
        self._off: set[str] = set()

    def open(self, start: Record) -> None:
        """Write the Start and what was kept."""
        with self._lock:
            kept, self._kept = self._kept, None
            self.attempt("recording", self._begin)
            for record in (start, *(kept or ())):
                self.write(record)

    @property
    def opened(self) -> bool:
        """Whether there was a Start."""
        return self._kept is None

    def write(self, record: Record) -> None:
        """Write a record."""
        with self._lock:
            if self._kept is not None:
                self._kept.append(record)
            elif self._writer:
                writer = self._writer
                self.attempt("recording", lambda: writer.write(record))

    def attempt(self, part: str, act: Callable[[], object]) -> None:
        """Do something for a part of the recorder; when it fails, that part is off from then on."""
        if part in self._off:
            return
        try:
            act()
        except Exception as error:
            self._off.add(part)
            self._say(f"{part} is off: {type(error).__name__}: {error}; training goes on without")

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            if self._writer:
                self._writer.close()
                self._writer = None

    def _begin(self) -> None:
        self._writer = recording.Writer(self.folder, self._host, self._rank)

    def _say(self, text: str) -> None:
        print(text, flush=True)
        self.write(Note(self._now(), text, rank=self._rank, host=self._host))
