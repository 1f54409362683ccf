"""A labelled picture, and the pictures of a job by split."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pictures.shards import Slice
from pictures.text import printable


class DataError(ValueError):
    """Input data that cannot be trained on; the message names the folder and the cure."""


@dataclass(frozen=True)
class Picture:
    """A file and the number of its class.

    `place` is set for a picture in a shard; `path` is then the path it had before it was packed.
    """

    path: Path
    label: int
    place: Slice | None = field(default=None, compare=False)

    def read(self) -> bytes:
        """Return the file's bytes.

        Raises:
            OSError, ShardError: the file cannot be read, or its bytes are not those that were
                packed.
        """
        return self.place.read() if self.place else self.path.read_bytes()


@dataclass(frozen=True)
class Splits:
    """The pictures of a job. `classes` are display names, `folders` the names of their folders."""

    folders: tuple[str, ...]
    classes: tuple[str, ...]
    train: tuple[Picture, ...]
    valid: tuple[Picture, ...]
    test: tuple[Picture, ...] = ()
    notes: tuple[str, ...] = field(default=(), compare=False)


def shorten(names: Sequence[str], most: int = 5) -> str:
    """Return the first names on one line, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(map(printable, names[:most])) + more
