"""A labelled picture, and the pictures of a job by split."""

import os
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pictures.shards import Slice
from pictures.text import printable

NONE_READABLE = "none of the pictures to evaluate on could be read"
# Why something is passed over.
LITTER = "left by other tools"
DANGLING = "links that lead nowhere"
AGAIN = "links to a folder that is read already"
SPECIAL = "neither files nor folders"
OUTSIDE = "outside the class folders"


class DataError(ValueError):
    """Input data that cannot be trained on; the message names the folder and the cure."""


@dataclass(frozen=True, slots=True)
class Sample:
    """A picture that has no number of its class yet: what readers of folders and tables return.

    Attributes:
        name: its own name: the path below its class folder, or as it is in the table.
        path: of the file, or the path it had before it was packed.
        size: of the file in bytes.
        place: its position if it is in a shard.
    """

    name: str
    path: Path
    size: int
    place: Slice | None = None


@dataclass
class Passed:
    """What is passed over: reason -> paths."""

    found: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    def add(self, reason: str, path: str | Path) -> None:
        """Add a path."""
        self.found[reason].append(str(path))

    def merge(self, other: "Passed") -> None:
        """Add all that another one has."""
        for reason, paths in other.found.items():
            self.found[reason] += paths

    def sentence(self, root: Path | None = None) -> str:
        """Return how many there are of each kind, and the first names; empty if there are none.

        Args:
            root: the paths are shown relative to it.
        """
        parts = [
            f"{reason}: {len(paths)} ({shorten(_relative(paths, root), 3)})"
            for reason, paths in sorted(self.found.items())
        ]
        return f"passed over: {'; '.join(parts)}" if parts else ""


def _relative(paths: Iterable[str], root: Path | None) -> list[str]:
    start = f"{root}{os.sep}" if root else ""
    return sorted(path.removeprefix(start) for path in paths)


@dataclass(frozen=True)
class Listing:
    """What one folder or table holds.

    Attributes:
        classes: class -> its pictures, both sorted.
        notes: sentences for the log.
        passed: what was passed over.
    """

    classes: dict[str, list[Sample]]
    notes: tuple[str, ...] = ()
    passed: Passed = field(default_factory=Passed)


@dataclass(frozen=True, slots=True)
class Picture:
    """A file and the number of its class.

    Attributes:
        path: of the file, or the path it had before it was packed.
        label: the number of its class.
        place: its position if it is in a shard.
        name: its own name, see `Sample`; the file's name if empty.
        size: of the file in bytes; -1 if it is not known.
    """

    path: Path
    label: int
    place: Slice | None = field(default=None, compare=False)
    name: str = field(default="", compare=False)
    size: int = field(default=-1, compare=False)

    @property
    def own_name(self) -> str:
        """The name in Unicode's composed form (NFC), the same whatever disk it comes from."""
        return unicodedata.normalize("NFC", self.name or self.path.name)

    def read(self) -> bytes:
        """Return the file's bytes.

        Raises:
            OSError, ShardError: the file cannot be read, or its bytes are not those that were
                packed.
        """
        return self.place.read() if self.place else self.path.read_bytes()


@dataclass(frozen=True)
class Splits:
    """The pictures of a job.

    Attributes:
        folders: the names of the classes' folders, in the order of the labels.
        classes: their display names.
        train: for training.
        valid: for validation.
        test: for the test; can be empty.
        notes: sentences for the log.
        made: the parts that were split off train, such as ("valid", "test").
        split_seed: by which they were split off.
        root: the folder of the training pictures.
    """

    folders: tuple[str, ...]
    classes: tuple[str, ...]
    train: tuple[Picture, ...]
    valid: tuple[Picture, ...]
    test: tuple[Picture, ...] = ()
    notes: tuple[str, ...] = field(default=(), compare=False)
    made: tuple[str, ...] = field(default=(), compare=False)
    split_seed: int = field(default=0, compare=False)
    root: Path = field(default=Path(), compare=False)

    def parts(self) -> dict[str, tuple[Picture, ...]]:
        """Return the pictures by the name of their part: train, valid, test."""
        return {"train": self.train, "valid": self.valid, "test": self.test}


def most_unreadable(share: float, total: int) -> int:
    """Return how many of `total` pictures can be unreadable, for the hyperparameter's share."""
    return -int(-share * total // 1)  # rounded up


def too_many_unreadable(found: Mapping[str, str], total: int, share: float) -> str:
    """Return why a job fails; `found` has the reason for each path that cannot be read."""
    first = "\n  ".join(printable(f"{path}: {why}") for path, why in list(found.items())[:10])
    return (
        f"{len(found)} of {total} pictures cannot be read, {most_unreadable(share, total)} are "
        f"allowed (max_unreadable): repair or remove them, or raise the limit:\n  {first}"
    )


def shorten(names: Sequence[str], most: int = 5) -> str:
    """Return the first names on one line, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(map(printable, names[:most])) + more
