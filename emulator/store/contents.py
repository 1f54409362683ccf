"""What the state folder has: how large it is, and its removal. Other files in it are not ours."""

import os
from pathlib import Path

from emulator.store.paths import remove_child

_FOLDERS = {
    "s3": "objects",
    "records": "records",
    "logs": "logs",
    "jobs": "running jobs",
    "endpoints": "endpoints",
    "transforms": "transforms",
}
_FILES = ("journal.jsonl", "emulator.log", "emulator.json", "port")


def sizes(state: Path) -> dict[str, int]:
    """Return the bytes of each part that is there, links not followed."""
    found = {title: _size(state / name) for name, title in _FOLDERS.items()}
    found["other"] = sum(_file_size(state / name) for name in _FILES)
    return {title: size for title, size in found.items() if size}


def remove(state: Path) -> None:
    """Delete what emulators wrote to the folder. The caller holds its lock."""
    for name in _FOLDERS:
        remove_child(state, name)
    for name in _FILES:
        (state / name).unlink(missing_ok=True)


def shown(size: int) -> str:
    """Return a size such as `1.2 GB`."""
    amount, unit = float(size), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if amount < 1000:
            break
        amount, unit = amount / 1000, larger
    return f"{amount:.1f} {unit}" if unit != "B" else f"{size} B"


def _size(folder: Path) -> int:
    return sum(
        _file_size(Path(parent) / name) for parent, _, names in os.walk(folder) for name in names
    )


def _file_size(path: Path) -> int:
    try:
        return path.lstat().st_size
    except FileNotFoundError:  # it vanished
        return 0
