"""The files below a folder, through links, with what was passed over and why."""

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pictures.layouts.litter import is_litter
from pictures.picture import AGAIN, DANGLING, LITTER, SPECIAL, DataError, Passed


@dataclass(frozen=True, slots=True)
class File:
    """A file: its path below the folder that was walked, with `/`; its path; its size in bytes."""

    name: str
    path: Path
    size: int


def entries(folder: Path) -> list[os.DirEntry[str]]:
    """Return what is in a folder, sorted by name.

    Raises:
        DataError: it is not a folder, or cannot be listed.
    """
    try:
        with os.scandir(folder) as found:
            return sorted(found, key=lambda entry: entry.name)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise DataError(
            f"{folder} is not a folder: check the path, or the channel's S3 prefix"
        ) from error
    except OSError as error:
        raise DataError(
            f"the folder {folder} cannot be listed ({error.strerror}): make it readable"
        ) from error


def files_below(folder: Path, passed: Passed) -> list[File]:
    """Return every file below a folder, whatever its suffix, sorted; links are followed.

    A folder that several links lead to is read once, so that a circle of links ends.

    Args:
        folder: a class folder.
        passed: gets what is passed over.

    Raises:
        DataError: a folder cannot be listed.
    """
    seen = {_identity(folder)}
    found = list(_walk(folder, "", passed, seen))
    return sorted(found, key=lambda file: file.name.split("/"))


def _walk(folder: Path, above: str, passed: Passed, seen: set[tuple[int, int]]) -> Iterator[File]:
    waiting = [(folder, above)]
    while waiting:
        here, prefix = waiting.pop()
        for entry in sorted(entries(here), key=os.DirEntry.is_symlink):  # real folders first
            path = here / entry.name
            kind, size = _kind(entry)
            if is_litter(entry.name):
                passed.add(LITTER, path)
            elif kind == "folder":
                identity = _identity(path)
                if identity in seen:
                    passed.add(AGAIN, path)
                else:
                    seen.add(identity)
                    waiting.append((path, f"{prefix}{entry.name}/"))
            elif kind == "file":
                yield File(prefix + entry.name, path, size)
            else:
                passed.add(kind, path)


def _kind(entry: os.DirEntry[str]) -> tuple[str, int]:
    """Return `file` or `folder`, through links, or the reason to pass it over; and its size."""
    try:
        found = entry.stat()
    except OSError:  # links to nowhere or to themselves; a file that is gone again
        return (DANGLING if entry.is_symlink() else SPECIAL), 0
    if stat.S_ISDIR(found.st_mode):
        return "folder", 0
    return ("file", found.st_size) if stat.S_ISREG(found.st_mode) else (SPECIAL, 0)


def subfolders(root: Path, passed: Passed) -> tuple[list[Path], list[File]]:
    """Return the folders and the files in `root`, sorted; litter and dead links are passed over.

    Raises:
        DataError: `root` is not a folder, or cannot be listed.
    """
    folders: list[Path] = []
    files: list[File] = []
    for entry in entries(root):
        path = root / entry.name
        kind, size = _kind(entry)
        if is_litter(entry.name):
            if entry.name != "manifest.json":  # the list of `kennel data upload`
                passed.add(LITTER, path)
        elif kind == "folder":
            folders.append(path)
        elif kind == "file":
            files.append(File(entry.name, path, size))
        else:
            passed.add(kind, path)
    return folders, files


def _identity(folder: Path) -> tuple[int, int]:
    found = folder.stat()
    return found.st_dev, found.st_ino
