"""Class folders as people have them: which classes, and the files in them.

`kennel data check`, `pack` and training call the same functions, so that they agree on what counts.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePath

from pictures import shards
from pictures.layouts.classes import inner_folders
from pictures.layouts.names import check_classes, check_names, class_name
from pictures.layouts.splits import check_no_splits, split_of
from pictures.layouts.walk import File, files_below, subfolders
from pictures.picture import OUTSIDE, DataError, Listing, Passed, Sample, shorten

# Files of Kennel's own next to class folders; `manifest.json` is counted as litter elsewhere.
NEAR_COPIES = "near-copies.json"
_PREFIX = re.compile(r"^(?:\d+[._\- ]+|n\d{8}[._\- ]+)(?=\S)")
_PICTURES = frozenset(
    ".jpg .jpeg .jpe .jfif .png .webp .bmp .dib .tif .tiff .gif .heic .heif .avif".split()
)
_ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".7z", ".rar", ".tar.bz2", ".tar.xz")


def read(root: Path, split: str) -> Listing:
    """Return the class folders of a split, and their pictures, both sorted.

    Packed shards count as the folder that was packed. Files of any suffix count as pictures, except
    what tools leave (`pictures.layouts.litter`).

    Args:
        root: the folder of the split.
        split: `train`, `valid` or `test`.

    Raises:
        DataError: no class folders, names that go wrong later, or damaged shards.
    """
    passed = Passed()
    folders, loose = subfolders(root, passed)
    if shards.is_packed(root, class_folders=bool(folders)):
        return Listing(_packed(root))
    check_names(root, [folder.name for folder in folders])
    if not folders:
        raise DataError(_no_classes(root, split, loose, passed))
    for file in loose:
        if file.name != NEAR_COPIES:
            passed.add(OUTSIDE, file.path)
    check_classes(root, [folder.name for folder in folders])
    if len(folders) > 1:
        check_no_splits(root, [folder.name for folder in folders])
    found = {folder: files_below(folder, passed) for folder in folders}
    check_names(root, (f"{one.name}/{file.name}" for one, own in found.items() for file in own))
    check_names(root, [file.name for file in loose])
    inner = {folder.name: inner_folders(file.name for file in own) for folder, own in found.items()}
    _check_splits_inside(root, inner)
    classes = {
        class_name(folder.name): [Sample(file.name, file.path, file.size) for file in own]
        for folder, own in found.items()
    }
    notes = _on_names(folders, split) + _on_nesting(root, split, inner)
    return Listing(dict(sorted(classes.items())), tuple(notes), passed)


def _packed(root: Path) -> dict[str, list[Sample]]:
    """Return what `read` returned for the folder that was packed into the shards in `root`."""
    found: dict[str, list[Sample]] = {}
    try:
        for packed in shards.read(root):
            sample = Sample(
                packed.name, root / packed.folder / packed.name, packed.place.size, packed.place
            )
            found.setdefault(packed.folder, []).append(sample)
    except shards.ShardError as error:
        raise DataError(str(error)) from error
    check_names(root, (f"{folder}/{one.name}" for folder, own in found.items() for one in own))
    return {
        name: sorted(found[name], key=lambda one: one.name.split("/")) for name in sorted(found)
    }


def _no_classes(root: Path, split: str, loose: Sequence[File], passed: Passed) -> str:
    """Return why a folder without class folders cannot be read."""
    check_names(root, [file.name for file in loose])
    names = [file.name for file in loose]
    what = f"no class folders in {root} ({split})"
    if archives := [name for name in names if name.lower().endswith(_ARCHIVES)]:
        return f"{what}: {shorten(archives)} is an archive: unpack it, or `kennel data upload` it"
    if pictures := [name for name in names if is_picture_name(name)]:
        return (
            f"{what}: {len(pictures)} pictures lie in it without a class ({shorten(pictures, 3)}): "
            f"move them into {root}/<class>/, one folder for each class, or add a table of labels"
        )
    skipped = passed.sentence(root)
    return (
        f"{what}: expected {root}/<class>/<picture>, one folder for each class"
        f"{'; ' if skipped else ''}{skipped}"
    )


def is_picture_name(name: str) -> bool:
    """Whether a file's suffix is that of a picture; only messages ask, the bytes decide."""
    return PurePath(name).suffix.lower() in _PICTURES


def _check_splits_inside(root: Path, inner: Mapping[str, Sequence[str]]) -> None:
    for name, folders in inner.items():
        splits = [split_of(folder, loose=True) for folder in folders]
        if "train" in splits and len(splits) > 1 and all(splits):
            raise DataError(
                f"the split folders are inside the class folders in {root} ({name}/{folders[0]}, "
                f"{name}/{folders[1]}): arrange them as train/{name}/, test/{name}/"
            )


def _on_names(folders: Sequence[Path], split: str) -> list[str]:
    spaces = [folder.name for folder in folders if folder.name.strip() != folder.name]
    if not spaces:
        return []
    shown = ", ".join(map(repr, spaces[:5]))
    return [f"{split}: spaces around the names of class folders do not count: {shown}"]


def _on_nesting(root: Path, split: str, inner: Mapping[str, Sequence[str]]) -> list[str]:
    """Return a note if classes seem to be one folder further down."""
    nested = {name: folders for name, folders in inner.items() if len(folders) > 1}
    if not nested:
        return []
    if len(inner) == 1:
        return []  # refused where the classes are counted
    shown = "; ".join(f"{name}: {shorten(nested[name], 3)}" for name in sorted(nested)[:3])
    more = f" and {len(nested) - 3} more" if len(nested) > 3 else ""
    return [
        f"{split}: all pictures of these classes are in folders within them ({shown}{more}) and "
        "count for the outer folder; if the inner folders are the classes, move them up into "
        f"{root}"
    ]


def display_names(folders: Sequence[str]) -> tuple[str, ...]:
    """Return folder names without leading numbers (`001.Affenpinscher` -> `Affenpinscher`).

    If that makes two names equal, all keep the folders' own names.
    """
    names = tuple(_PREFIX.sub("", folder) for folder in folders)
    return names if len(set(names)) == len(names) else tuple(folders)
