"""A recording on disk: writing it (readable even after a `kill -9`) and reading it.

    <recording>/<host>-<rank>/000001.jsonl, 000002.jsonl, …   one record per line, oldest first
    <recording>/<host>-<rank>/tensors/<step>-<name>.npy       complete tensors, if requested

A line is `{"kind": "Step", "at": …, …}`: a record of debugger/records.py. The folder name is its
host and rank. Each line reaches the kernel at once; the reader skips an incomplete last line. Once
a new file begins, the file before it never changes again and can be uploaded. Numbers that JSON
cannot hold are the strings "nan", "inf" and "-inf". docs/debugger.md describes the format.
"""

import dataclasses
import errno
import heapq
import json
import math
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np

from debugger import records
from debugger.records import Operator, Record, Span, Statistics

FORMAT = 1
_FOLDER = re.compile(r"(?P<host>.+)-(?P<rank>\d+)")
_KINDS: dict[str, type[Record]] = {
    kind.__name__: kind
    for kind in vars(records).values()
    if isinstance(kind, type) and issubclass(kind, Record) and kind is not Record
}
_STATISTICS = tuple(field.name for field in dataclasses.fields(Statistics))
_SECONDS, _BYTES = 60.0, 4 << 20  # a new file begins after this time or size


class RecordingError(ValueError):
    """A folder holds no recording, or it cannot be read; the message says why."""


class Writer:
    """Writes the records of one process; after a restart of the job it continues in a new file."""

    def __init__(self, recording: Path, host: str, rank: int) -> None:
        self.recording, self.host, self.rank = recording, host, rank
        self._folder = recording / f"{host}-{rank}"
        self._folder.mkdir(parents=True, exist_ok=True)
        self._count = max((int(path.stem) for path in self._folder.glob("*.jsonl")), default=0)
        self._open_file()

    def write(self, record: Record) -> None:
        """Write a record as one line, with one system call.

        Raises:
            OSError: the disk is full or not available.
        """
        if self._file.tell() > _BYTES or time.monotonic() - self._opened > _SECONDS:
            self._file.close()
            self._open_file()
        line = _line(record)
        if self._file.write(line) < len(line):
            raise OSError(errno.ENOSPC, "the disk is full", str(self._folder))

    def write_tensor(
        self,
        at: float,
        mode: records.Mode,
        step: int,
        collection: str,
        name: str,
        value: np.ndarray,
    ) -> None:
        """Write a complete tensor to a file, and a record with the name of the file."""
        folder = self._folder / "tensors"
        folder.mkdir(exist_ok=True)
        path = folder / f"{step:09d}-{mode}-{collection}-{re.sub('[^A-Za-z0-9_.-]', '_', name)}.npy"
        partial = path.with_suffix(".partial")
        with partial.open("wb") as file:
            np.save(file, value, allow_pickle=False)
        partial.rename(path)
        file_name = str(path.relative_to(self.recording))
        self.write(records.RawTensor(at, mode, step, collection, name, file_name))

    def close(self) -> None:
        """Close the file. The recording can be read without it."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _open_file(self) -> None:
        self._count += 1
        # Unbuffered: written lines survive a kill -9.
        self._file = (self._folder / f"{self._count:06d}.jsonl").open("ab", buffering=0)
        self._opened = time.monotonic()


def is_recording(folder: Path) -> bool:
    """Whether a folder holds a recording in Kennel's format."""
    return any(any(item.glob("*.jsonl")) for item, _, _ in _folders(folder))


def find(folder: Path) -> Path | None:
    """Return the recording in a folder or below it, in Kennel's format; None if there is none.

    Raises:
        RecordingError: there are several.
    """
    if is_recording(folder):
        return folder
    # Not with glob: a running job can remove a folder while glob looks into it.
    holders = [
        Path(at)
        for at, _, names in os.walk(folder)
        if "-" in Path(at).name and any(name.endswith(".jsonl") for name in names)
    ]
    found = [item for item in sorted({path.parent for path in holders}) if is_recording(item)]
    if len(found) > 1:
        raise RecordingError(f"{folder} holds several recordings: choose one of {shown(found)}")
    return found[0] if found else None


def shown(paths: list[Path]) -> str:
    """Return the first five paths as text."""
    return ", ".join(str(path) for path in paths[:5]) + (", …" if len(paths) > 5 else "")


def read(recording: Path) -> Iterator[Record]:
    """Yield all records of all processes, sorted by time; damaged lines are skipped.

    Raises:
        RecordingError: there is no recording, or a newer version of kennel wrote it.
    """
    if not is_recording(recording):
        raise RecordingError(
            f"{recording} holds no recording: a job writes one unless debugger=false and "
            "profiler=false"
        )
    streams = [_stream(folder, host, rank) for folder, host, rank in _folders(recording)]
    yield from heapq.merge(*streams, key=lambda record: record.at)


def _folders(recording: Path) -> list[tuple[Path, str, int]]:
    """Return folder, host and rank of each process."""
    if not recording.is_dir():
        return []
    return [
        (folder, match["host"], int(match["rank"]))
        for folder in sorted(recording.iterdir())
        if (match := _FOLDER.fullmatch(folder.name)) and folder.is_dir()
    ]


def load_tensor(recording: Path, record: records.RawTensor) -> np.ndarray:
    """Return a complete tensor.

    Raises:
        RecordingError: its file is missing, damaged or outside the recording.
    """
    path = (recording / record.file).resolve()
    if not path.is_relative_to(recording.resolve()):
        raise RecordingError(f"{record.file}: the file of a tensor must be inside the recording")
    try:
        value: np.ndarray = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise RecordingError(f"{record.file}: {error}") from error
    return value


def _stream(folder: Path, host: str, rank: int) -> Iterator[Record]:
    for path in sorted(folder.glob("*.jsonl")):
        with path.open("rb") as file:
            for line in file:
                record = _record(line, host, rank)
                if record:
                    yield record


def _line(record: Record) -> bytes:
    written: dict[str, Any] = {"kind": type(record).__name__}
    for field in dataclasses.fields(record):
        if field.name not in ("rank", "host"):
            written[field.name] = getattr(record, field.name)
    if isinstance(record, records.Start):
        written["format"] = FORMAT
    try:
        text = json.dumps(written, default=_plain, allow_nan=False, separators=(",", ":"))
    except ValueError:
        text = json.dumps(_finite(written), allow_nan=False, separators=(",", ":"))
    return text.encode() + b"\n"


def _plain(value: Any) -> Any:
    if isinstance(value, Statistics | Span | Operator):
        return [getattr(value, field.name) for field in dataclasses.fields(value)]
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{value!r} cannot be recorded")


def _finite(value: Any) -> Any:
    """Return the value with strings in place of numbers that JSON cannot hold."""
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, Mapping):
        return {name: _finite(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    if value is None or isinstance(value, str | int):
        return value
    return _finite(_plain(value))


def _record(line: bytes, host: str, rank: int) -> Record | None:
    """Return the record of a line; None if the line is incomplete or its kind is unknown."""
    try:
        given = json.loads(line)
        kind = _KINDS.get(given.pop("kind"))
        version = given.pop("format", FORMAT)
        if kind is None:
            return None
        if version > FORMAT:
            raise RecordingError(
                f"the recording has format {version}, and this kennel reads {FORMAT}: "
                "upgrade sagemaker-kennel"
            )
        known = {field.name for field in dataclasses.fields(kind)}
        values = {
            name: _READ.get(name, _same)(value) for name, value in given.items() if name in known
        }
        return kind(**values, rank=rank, host=host)
    except RecordingError:
        raise
    except (ValueError, TypeError, KeyError, AttributeError):
        return None


def _same(value: Any) -> Any:
    return value


def _number(value: Any) -> Any:
    return float(value) if isinstance(value, str) else value


def _numbers(values: list[Any]) -> list[Any]:
    return [_number(item) for item in values]


# How to read a field, by its name. A name means the same in all records.
_READ: dict[str, Callable[[Any], Any]] = {
    "spans": lambda found: tuple(Span(*item) for item in found),
    "operators": lambda found: tuple(Operator(*item) for item in found),
    "counts": lambda found: tuple((a, b, n) for a, b, n in found),
    "loss": _number,
    "learning_rate": _number,
    "probability": _number,
    "value": _number,
    "values": lambda found: {
        name: Statistics(*_numbers(item)) if isinstance(item, list) else _number(item)
        for name, item in found.items()
    },
}
assert tuple(_STATISTICS[:3]) == ("mean", "std", "min")  # the file format depends on this order
