"""Files with the bytes of objects. A file never changes: a new object gets a new file."""

import hashlib
import os
import shutil
from pathlib import Path
from typing import BinaryIO, Protocol

from emulator.store.paths import open_private

_CHUNK = 2**20


class Writer(Protocol):
    """What bytes are written to."""

    def write(self, data: bytes, /) -> object:
        """Write all bytes."""


class Blob:
    """An object's bytes in a file, with the file methods that moto's FakeKey calls.

    Args:
        path: the file.
        temporary: whether `close` deletes the file, as for the parts of an upload.
    """

    def __init__(self, path: Path, *, temporary: bool = False) -> None:
        self.path = path
        self._temporary = temporary
        self._at = 0

    def seek(self, position: int) -> None:
        """Set the position of the next read."""
        self._at = position

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes."""
        with open_blob(self.path) as file:
            file.seek(self._at)
            piece = file.read(size)
        self._at += len(piece)
        return piece

    def close(self) -> None:
        """Delete a temporary file; no file is open between reads."""
        if self._temporary:
            self.path.unlink(missing_ok=True)


def open_blob(path: Path) -> BinaryIO:
    """Open a file for reading; a symbolic link is refused.

    Raises:
        OSError: it does not exist, or is a link.
    """
    return open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NOFOLLOW))


def copy_range(source: BinaryIO, target: Writer, start: int, length: int) -> None:
    """Append a part of a file to another, in pieces.

    Raises:
        EOFError: the source is shorter.
    """
    source.seek(start)
    while length:
        piece = source.read(min(_CHUNK, length))
        if not piece:
            raise EOFError(f"{source.name} is shorter than expected")
        target.write(piece)
        length -= len(piece)


def copy_file(source: Path, target: Path) -> None:
    """Copy a file to a new private file, without holding it in memory."""
    with source.open("rb") as original, open_private(target, "xb") as copy:
        shutil.copyfileobj(original, copy, _CHUNK)


def link(source: Path, target: Path) -> None:
    """Make a second name for a file; copy it where the file system has no hard links."""
    try:
        target.hardlink_to(source)
    except FileNotFoundError:
        raise
    except OSError:
        copy_file(source, target)


def md5(path: Path) -> str:
    """Return the MD5 digest of a file: the ETag of an object that was not sent in parts."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
