"""A labelled picture, and the pictures of a job by split."""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pictures.shards import Slice
from pictures.text import printable


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


@dataclass(frozen=True)
class Listing:
    """What one folder or table holds: class -> its pictures, both sorted, and what to report.

    `notes` are sentences for the log, such as what was passed over.
    """

    classes: dict[str, list[Sample]]
    notes: tuple[str, ...] = ()


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
    """

    folders: tuple[str, ...]
    classes: tuple[str, ...]
    train: tuple[Picture, ...]
    valid: tuple[Picture, ...]
    test: tuple[Picture, ...] = ()
    notes: tuple[str, ...] = field(default=(), compare=False)
    made: tuple[str, ...] = field(default=(), compare=False)
    split_seed: int = field(default=0, compare=False)

    def parts(self) -> dict[str, tuple[Picture, ...]]:
        """Return the pictures by the name of their part: train, valid, test."""
        return {"train": self.train, "valid": self.valid, "test": self.test}


def shorten(names: Sequence[str], most: int = 5) -> str:
    """Return the first names on one line, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(map(printable, names[:most])) + more
