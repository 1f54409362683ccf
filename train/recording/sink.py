"""Writes records to the disk and passes them to the rules; logs a failure once and continues."""

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
from train.platform.log import log


class Sink:
    """Writes the records of the training loop and of the sampler's thread.

    A recording begins with its Start record, so earlier records are buffered until `open`. `rules`
    see every record; `stop` is called with the reason if a rule asks to stop the job.
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
        self._lock = threading.RLock()  # reentrant: writing a record can write a rule's firing
        self._buffer: list[Record] | None = []
        self._writer: recording.Writer | None = None
        self._off: set[str] = set()

    def open(self, start: Record) -> None:
        """Write the Start and the buffered records, if the folder passes a test."""
        with self._lock:
            buffered, self._buffer = self._buffer, None
            try:
                self._test()
                self._writer = recording.Writer(self.folder, self._host, self._rank)
            except Exception as error:
                log(
                    f"WARNING: recording is off: cannot write to {self.folder} ({_describe(error)})"
                    "; there will be no report. Repair the folder's disk, or set LocalPath in "
                    "debughookconfig.json. Training continues."
                )
            for record in (start, *(buffered or ())):
                self.write(record)

    @property
    def opened(self) -> bool:
        """Whether `open` was called."""
        return self._buffer is None

    @property
    def writing(self) -> bool:
        """Whether records reach the disk."""
        return self._writer is not None

    def write(self, record: Record) -> None:
        """Write a record, and pass it to the rules."""
        with self._lock:
            if self._buffer is not None:
                self._buffer.append(record)
                return
            writer = self._writer
            if writer:
                self.attempt("recording", lambda: writer.write(record))
            if not isinstance(record, Fired | Note):
                self.attempt("rules", lambda: self._feed_rules(record))

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
        """Call `act` for a part of the recorder; an error switches that part off for good."""
        if part in self._off:
            return
        try:
            act()
        except Exception as error:
            self._off.add(part)
            if part == "recording":
                self._writer = None
            text = f"WARNING: {part} is off from now on: {_describe(error)}. Training continues."
            log(text)
            self.note(text)

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            if self._writer:
                self._writer.close()

    def _feed_rules(self, record: Record) -> None:
        for reaction in self._live.feed(record):
            answer = reaction.record
            self.write(answer)
            if isinstance(answer, Note):
                log(answer.text)
                continue
            if reaction.action != "report":
                # Samples of a host belong to no step.
                step = f" at step {answer.step}" if answer.step >= 0 else ""
                log(f"rule {answer.rule} fired{step}: {answer.text}")
            if reaction.action == "stop":
                self._stop(f"stopped by rule {answer.rule}: {answer.text}")

    def _test(self) -> None:
        """Write a value and read it back, so that a broken disk is noticed at the start.

        Raises:
            OSError, RecordingError: it cannot be written or read.
            ValueError: another value was read.
        """
        folder = self.folder / f".test.{self._host}.{self._rank}.{os.getpid()}"
        written = Scalar(self._now(), "test", 0, 0, 0.1, rank=self._rank, host=self._host)
        try:
            with recording.Writer(folder, self._host, self._rank) as writer:
                writer.write(written)
            found = list(recording.read(folder))
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        if found != [written]:
            raise ValueError(f"wrote {written} and read {found}")


def _describe(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
