"""Where records go: the disk and the rules. What fails is said once, and training goes on."""

import os
import shutil
import threading
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from debugger import recording
from debugger.records import Fired, Mode, Note, Record, Scalar
from debugger.rules.live import Live
from debugger.rules.rule import Rule


class Sink:
    """Takes records from the training loop and the sampler's thread alike.

    Until `open`, they are kept, for a recording begins with its Start. `rules` are shown each of
    them; `stop` is called with the reason when one asks for it.
    """

    def __init__(
        self,
        folder: Path,
        host: str,
        rank: int,
        now: Callable[[], float],
        rules: Iterable[Rule] = (),
        stop: Callable[[str], None] = print,
    ) -> None:
        self.folder, self._host, self._rank, self._now = folder, host, rank, now
        self._live, self._stop = Live(tuple(rules)), stop
        self._lock = threading.RLock()  # a rule's firing is written while its record is
        self._kept: list[Record] | None = []
        self._writer: recording.Writer | None = None
        self._off: set[str] = set()

    def open(self, start: Record) -> None:
        """Write the Start and what was kept, if writing works at all."""
        with self._lock:
            kept, self._kept = self._kept, None
            try:
                self._test()
                self._writer = recording.Writer(self.folder, self._host, self._rank)
            except Exception as error:
                print(
                    f"WARNING: recording is off: {self.folder} failed its test: {_shown(error)}; "
                    "there will be no report. Mend the folder's disk, or name another by LocalPath "
                    "in debughookconfig.json. Training goes on.",
                    flush=True,
                )
            for record in (start, *(kept or ())):
                self.write(record)

    @property
    def opened(self) -> bool:
        """Whether there was a Start."""
        return self._kept is None

    @property
    def writing(self) -> bool:
        """Whether records reach the disk."""
        return self._writer is not None

    def write(self, record: Record) -> None:
        """Write a record, and show it to the rules."""
        with self._lock:
            if self._kept is not None:
                self._kept.append(record)
                return
            writer = self._writer
            if writer:
                self.attempt("recording", lambda: writer.write(record))
            if not isinstance(record, Fired | Note):
                self.attempt("rules", lambda: self._show(record))

    def write_tensor(
        self, at: float, mode: Mode, step: int, collection: str, name: str, value: np.ndarray
    ) -> None:
        """Write a whole tensor."""
        with self._lock:
            writer = self._writer
            if writer:
                self.attempt(
                    "recording",
                    lambda: writer.write_tensor(at, mode, step, collection, name, value),
                )

    def note(self, text: str) -> None:
        """Write a Note."""
        self.write(Note(self._now(), text, rank=self._rank, host=self._host))

    def attempt(self, part: str, act: Callable[[], object]) -> None:
        """Do something for a part of the recorder; once it failed, that part is off for good."""
        if part in self._off:
            return
        try:
            act()
        except Exception as error:
            self._off.add(part)
            if part == "recording":
                self._writer = None
            text = f"WARNING: {part} is off from here on: {_shown(error)}. Training goes on."
            print(text, flush=True)
            self.note(text)

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            if self._writer:
                self._writer.close()

    def _show(self, record: Record) -> None:
        for reaction in self._live.feed(record):
            said = reaction.record
            self.write(said)
            if isinstance(said, Note):
                print(said.text, flush=True)
            elif reaction.action != "report":
                print(f"rule {said.rule} fired at step {said.step}: {said.text}", flush=True)
            if isinstance(said, Fired) and reaction.action == "stop":
                self._stop(f"stopped by rule {said.rule}: {said.text}")

    def _test(self) -> None:
        """Write a value and read it back: a recorder that is silently broken is worse than none.

        Raises:
            OSError, RecordingError: neither worked.
            ValueError: something else came back.
        """
        folder = self.folder / f".test.{self._host}.{self._rank}.{os.getpid()}"
        given = Scalar(self._now(), "test", 0, 0, 0.1, rank=self._rank, host=self._host)
        try:
            with recording.Writer(folder, self._host, self._rank) as writer:
                writer.write(given)
            found = list(recording.read(folder))
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        if found != [given]:
            raise ValueError(f"wrote {given} and read {found}")


def _shown(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
