"""Folders of pictures as people have them: split folders, class folders, and the files in them.

`kennel data check`, `pack` and training call the same functions, so that they agree on what counts.
"""

import re
from collections.abc import Sequence
from pathlib import Path

from pictures import shards
from pictures.picture import DataError
from pictures.shards import Slice

# The names that folders and channels of a split can have.
SPLITS = {
    "train": ("train", "training"),
    "valid": ("valid", "validation", "val"),
    "test": ("test", "testing"),
}
# Files and folders that tools leave among pictures, in addition to all names that start with a dot.
LITTER = ("__MACOSX", "Thumbs.db", "desktop.ini", "manifest.json")
_PREFIX = re.compile(r"^(?:\d+[._\- ]+|n\d{8}[._\- ]+)(?=\S)")

# A picture before its class has a number: its path, and its place if it is in a shard.
Found = tuple[Path, Slice | None]


def is_litter(path: Path) -> bool:
    """Whether a tool left the file or folder there; `path` is relative to the folder searched."""
    return any(part.startswith(".") or part in LITTER for part in path.parts)


def subfolders(root: Path) -> list[Path]:
    """Return the folders in `root`, sorted, without litter.

    Raises:
        DataError: `root` is not a folder.
    """
    if not root.is_dir():
        raise DataError(f"{root} is not a folder: check the path, or the channel's S3 prefix")
    return sorted(p for p in root.iterdir() if p.is_dir() and not is_litter(Path(p.name)))


def files_below(folder: Path) -> list[Path]:
    """Return every file below a class folder, sorted, whatever its suffix, without litter."""
    return sorted(
        path
        for path in folder.rglob("*")
        if path.is_file() and not is_litter(path.relative_to(folder))
    )


def classes(root: Path, split: str) -> dict[str, list[Found]]:
    """Return class folder -> its pictures, both sorted. Packed shards count as the original folder.

    Raises:
        DataError: no class folders, or damaged shards.
    """
    inside = subfolders(root)
    if shards.is_packed(root, class_folders=bool(inside)):
        return _packed(root)
    if not inside:
        raise DataError(
            f"no class folders in {root} (channel {split}): expected {root}/<class>/<picture>, "
            "one folder for each class"
        )
    return {folder.name: [(path, None) for path in files_below(folder)] for folder in inside}


def _packed(root: Path) -> dict[str, list[Found]]:
    """Return what `classes` returned for the folder that was packed into the shards in `root`."""
    found: dict[str, list[Found]] = {}
    try:
        for packed in shards.read(root):
            picture = (root / packed.folder / packed.name, packed.place)
            found.setdefault(packed.folder, []).append(picture)
    except shards.ShardError as error:
        raise DataError(str(error)) from error
    return {name: sorted(found[name], key=lambda pair: pair[0]) for name in sorted(found)}


def display_names(folders: Sequence[str]) -> tuple[str, ...]:
    """Return folder names without leading numbers (`001.Affenpinscher` -> `Affenpinscher`).

    If that makes two names equal, all keep the folders' own names.
    """
    names = tuple(_PREFIX.sub("", folder) for folder in folders)
    return names if len(set(names)) == len(names) else tuple(folders)
