"""Paths of the state folder: what names may become, who can read it, what is deleted.

Names come from requests and from keys in S3. Every one that becomes a path passes through here.
"""

import os
import shutil
import stat
from pathlib import Path
from typing import Any

from emulator.errors import JobError

_PRIVATE_FOLDER, _PRIVATE_FILE = 0o700, 0o600


def below(folder: Path, name: str) -> Path:
    """Return the path of `name` in a folder; symbolic links are followed.

    Raises:
        JobError: the path is the folder itself or outside of it.
    """
    try:
        real, path = folder.resolve(), (folder / name).resolve()
    except (ValueError, OSError, RuntimeError):  # a null byte; a loop of links
        path = real = folder
    if path == real or not path.is_relative_to(real):
        raise JobError(f"ClientError: the name {name!r} leads out of its folder")
    return path


def child(folder: Path, name: str) -> Path:
    """Return the path of a file or folder directly in a folder.

    Raises:
        JobError: the name has a slash, is `.` or `..`, or is a link that leads elsewhere.
    """
    path = below(folder, name)
    if path != folder.resolve() / name or path.parent != folder.resolve():
        raise JobError(f"ClientError: the name {name!r} leads out of its folder")
    return folder / name


def remove_child(folder: Path, name: str) -> None:
    """Delete a folder directly in `folder`, with its contents, if it exists.

    Raises:
        JobError: as `child`.
    """
    shutil.rmtree(child(folder, name), ignore_errors=True)


def private_folder(path: Path) -> Path:
    """Make a folder that only this user can enter; an existing folder is changed.

    Raises:
        OSError: it is somebody else's, or shared like /tmp.
    """
    path.mkdir(parents=True, exist_ok=True)
    status = path.stat()
    if os.geteuid() not in (0, status.st_uid) or status.st_mode & stat.S_ISVTX:
        raise PermissionError(f"{path} is not a folder of this user alone: choose another folder")
    path.chmod(_PRIVATE_FOLDER)
    return path


def open_private(path: Path, mode: str) -> Any:
    """Open a file that only this user can read; a new file never has other permissions.

    Raises:
        OSError: also if the file is a symbolic link: it could lead to any file of this user.
    """
    return open(
        path,
        mode,
        opener=lambda name, flags: os.open(name, flags | os.O_NOFOLLOW, _PRIVATE_FILE),
    )
