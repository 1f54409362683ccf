"""From SageMaker's input channels to labelled pictures: which folders, which classes, which split.

Nothing is decoded here; a picture is a path and a class number. A folder that `kennel data pack`
packed counts as the folder that it was.
"""

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pictures import shards

NAMES = {
    "train": ("train", "training"),
    "valid": ("valid", "validation", "val"),
    "test": ("test", "testing"),
}
PRETRAINED = "pretrained"
# Files and folders that tools leave among pictures, beside every name starting with a dot.
_LITTER = ("__MACOSX", "Thumbs.db", "desktop.ini", "manifest.json")
_PREFIX = re.compile(r"^(?:\d+[._\- ]+|n\d{8}[._\- ]+)(?=\S)")


class DataError(ValueError):
    """Input data that cannot be trained on; the message names the folder and the cure."""


@dataclass(frozen=True)
class Picture:
    """A file and the number of its class.

    In a shard, `place` says where, and `path` is the one that it had before it was packed.
    """

    path: Path
    label: int
    place: shards.Slice | None = field(default=None, compare=False)

    def read(self) -> bytes:
        """Return the file's bytes.

        Raises:
            OSError, ShardError: it cannot be read, or is not what was packed.
        """
        return self.place.read() if self.place else self.path.read_bytes()


# Where the pictures of a class lie, before the classes have numbers.
Found = tuple[Path, shards.Slice | None]


@dataclass(frozen=True)
class Splits:
    """The pictures of a job. `classes` are display names, `folders` their folders' names."""

    folders: tuple[str, ...]
    classes: tuple[str, ...]
    train: tuple[Picture, ...]
    valid: tuple[Picture, ...]
    test: tuple[Picture, ...] = ()
    notes: tuple[str, ...] = field(default=(), compare=False)


def find(
    channels: Mapping[str, Path], *, seed: int, valid_fraction: float, test_fraction: float
) -> Splits:
    """Find the pictures in a job's channels.

    Takes channels under any of their usual names; or one channel that holds train, valid and test
    folders; or train alone, from which valid and test are split, class by class, by the seed.

    Args:
        channels: channel name -> folder, as SageMaker mounted them.
        seed: of the split.
        valid_fraction: split off train where there is no `valid`.
        test_fraction: split off train where there is neither `valid` nor `test`.

    Raises:
        DataError: no pictures, fewer than two classes, an empty class, classes that differ.
    """
    roots = _roots(channels)
    classes = _classes(roots["train"], "train")
    folders = tuple(classes)
    notes: list[str] = []
    empty = [name for name, files in classes.items() if not files]
    if empty:
        raise DataError(
            f"class folders without a picture in {roots['train']}: {_some(empty)}: "
            "add pictures or remove the folders"
        )
    if len(folders) < 2:
        raise DataError(
            f"one class only ({folders[0]}) in {roots['train']}: a classifier needs at least two "
            "folders of pictures"
        )
    train = _label(classes, folders)
    others: dict[str, tuple[Picture, ...]] = {}
    for split in ("valid", "test"):
        if split in roots:
            found = _classes(roots[split], split)
            _same_classes(folders, found, split, roots[split], notes)
            others[split] = _label(found, folders)
    if "valid" not in others:
        share = {"valid": valid_fraction}
        if "test" not in others:
            share["test"] = test_fraction
        train, parts = _split(train, len(folders), share, seed)
        others |= parts
        notes.append(
            "split off train, by seed "
            f"{seed}: " + ", ".join(f"{len(part)} {name}" for name, part in parts.items())
        )
        if not others["valid"]:
            raise DataError(
                f"no picture in {roots['train']} can be spared for validation: add a `valid` "
                "channel, more pictures, or raise valid_fraction"
            )
    return Splits(
        folders,
        display_names(folders),
        train,
        others["valid"],
        others.get("test", ()),
        tuple(notes),
    )


def display_names(folders: Sequence[str]) -> tuple[str, ...]:
    """Return folder names without leading numbers (`001.Affenpinscher` -> `Affenpinscher`).

    The folders' own names where that would make two alike.
    """
    names = tuple(_PREFIX.sub("", folder) for folder in folders)
    return names if len(set(names)) == len(names) else tuple(folders)


def _roots(channels: Mapping[str, Path]) -> dict[str, Path]:
    """Return the folder of each split that there is; `train` always."""
    roots: dict[str, Path] = {}
    for split, names in NAMES.items():
        present = [name for name in names if name in channels]
        if len(present) > 1:
            raise DataError(f"channels {' and '.join(present)} are both for {split}: give one")
        if present:
            roots[split] = channels[present[0]]
    data = [name for name in channels if name not in (PRETRAINED, "checkpoint", "model", "code")]
    single = roots.get("train") or (channels[data[0]] if len(data) == 1 else None)
    if single is None:
        raise DataError(
            f"no training pictures: channels given are {_some(list(channels)) or 'none'}; name one "
            "`train` (and `valid`, `test`), or give one channel that holds folders of these names"
        )
    if set(roots) <= {"train"}:
        inside = _inside(single)
        if "train" in inside:
            return inside
    roots["train"] = single
    return roots


def _inside(channel: Path) -> dict[str, Path]:
    """Return train/valid/test folders inside a channel, also one folder further down."""
    for folder in (channel, *(_folders(channel) if len(_folders(channel)) == 1 else ())):
        inside = {
            split: folder / name
            for split, names in NAMES.items()
            for name in names
            if (folder / name).is_dir()
        }
        if "train" in inside:
            return inside
    return {}


def _folders(root: Path) -> list[Path]:
    if not root.is_dir():
        raise DataError(f"{root} is not a folder: check the channel's S3 prefix")
    return sorted(p for p in root.iterdir() if p.is_dir() and not _litter(p))


def _litter(path: Path) -> bool:
    return path.name.startswith(".") or path.name in _LITTER


def _classes(root: Path, split: str) -> dict[str, list[Found]]:
    """Return class folder -> files below it, sorted; every file counts, whatever its suffix."""
    folders = _folders(root)
    if shards.is_packed(root, class_folders=bool(folders)):
        return _packed(root)
    if not folders:
        raise DataError(
            f"no class folders in {root} (channel {split}): expected {root}/<class>/<picture>, "
            "one folder for each class"
        )
    return {
        folder.name: [
            (path, None)
            for path in sorted(p for p in folder.rglob("*") if p.is_file() and not _litter(p))
        ]
        for folder in folders
    }


def _packed(root: Path) -> dict[str, list[Found]]:
    """Return what `_classes` does of the folder that was packed into the shards in `root`."""
    classes: dict[str, list[Found]] = {}
    try:
        for one in shards.read(root):
            found = (root / one.folder / one.name, one.place)
            classes.setdefault(one.folder, []).append(found)
    except shards.ShardError as error:
        raise DataError(str(error)) from error
    return {name: sorted(classes[name], key=lambda found: found[0]) for name in sorted(classes)}


def _same_classes(
    folders: Sequence[str],
    found: Mapping[str, list[Found]],
    split: str,
    root: Path,
    notes: list[str],
) -> None:
    unknown = sorted(found.keys() - set(folders))
    if unknown:
        raise DataError(
            f"classes in {root} ({split}) that train does not have: {_some(unknown)}: name the "
            "folders alike in every channel"
        )
    absent = [name for name in folders if not found.get(name)]
    if len(absent) == len(folders):
        raise DataError(f"no pictures in {root} (channel {split})")
    if absent:
        notes.append(f"{split} has no pictures of {_some(absent)}: these go unmeasured there")


def _label(found: Mapping[str, list[Found]], folders: Sequence[str]) -> tuple[Picture, ...]:
    return tuple(
        Picture(path, label, place)
        for label, folder in enumerate(folders)
        for path, place in found.get(folder, [])
    )


def _split(
    pictures: Sequence[Picture], classes: int, shares: Mapping[str, float], seed: int
) -> tuple[tuple[Picture, ...], dict[str, tuple[Picture, ...]]]:
    """Deal each class's pictures out; every class keeps at least one for training."""
    kept: list[Picture] = []
    parts: dict[str, list[Picture]] = {name: [] for name in shares}
    for label in range(classes):
        own = [picture for picture in pictures if picture.label == label]
        random.Random(f"{seed}/{label}").shuffle(own)  # noqa: S311 (a split, not a secret)
        for name, share in shares.items():
            count = min(round(share * len(own)) or (1 if share else 0), max(len(own) - 1, 0))
            parts[name] += own[:count]
            own = own[count:]
        kept += own
    in_order = {name: tuple(sorted(part, key=_by_path)) for name, part in parts.items()}
    return tuple(sorted(kept, key=_by_path)), in_order


def _by_path(picture: Picture) -> tuple[int, Path]:
    return picture.label, picture.path


def _some(names: Sequence[str], most: int = 5) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
