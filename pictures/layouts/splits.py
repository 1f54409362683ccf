"""Which channel or folder is for what: the names of splits, and folders of splits in a channel."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from pictures.layouts.walk import files_below, subfolders
from pictures.picture import DataError, Passed, shorten

# The names that channels and folders of a split can have, in any case; also next to one of _AROUND,
# with or without `-`, `_`, `.` or a space between them.
SPLITS = {
    "train": ("train", "training"),
    "valid": ("valid", "validation", "val"),
    "test": ("test", "testing"),
}
_AROUND = "set|data|dataset|split|images?|imgs?|photos|pictures|pics|samples|examples|folder"
# Names with more than one meaning: taken in folders next to `train`, and reported. A channel has to
# have one of the names above.
_LOOSE = {
    "valid": ("dev", "development", "eval", "evaluation"),
    "test": ("holdout", "heldout"),
}
_SPLIT_OF = {alias: split for split, aliases in SPLITS.items() for alias in aliases}
_LOOSE_SPLIT_OF = {alias: split for split, aliases in _LOOSE.items() for alias in aliases}
_BARE = re.compile(rf"^(?:{_AROUND})?({'|'.join([*_SPLIT_OF, *_LOOSE_SPLIT_OF])})(?:{_AROUND})?$")
# A word for a split in a longer name, such as `train1` or `my_train`.
_LIKE_TRAIN = re.compile(r"(?:^|[^a-z])train(?:ing)?(?:[^a-z]|$)")
_LIKE_OTHER = re.compile(r"(?:^|[^a-z])(?:test(?:ing)?|val|valid(?:ation)?)(?:[^a-z]|$)")
PRETRAINED = "pretrained"  # the channel of pretrained weights
NOT_PICTURES = (PRETRAINED, "checkpoint", "checkpoints", "model", "code")
_DEPTH = 4  # folders around the split folders, as zip files make them
ACCEPTED = (
    "train: train, training; valid: valid, validation, val; test: test, testing; in any case, also "
    "with _set or _data"
)


def split_of(name: str, *, loose: bool = False) -> str:
    """Return `train`, `valid` or `test` for a usual name of it, else an empty string.

    Args:
        name: of a folder or channel.
        loose: also for names with more than one meaning, such as `dev`.
    """
    found = _BARE.match(re.sub(r"[\s_.-]", "", name.lower()))
    if not found:
        return ""
    return _SPLIT_OF.get(found[1], "") or (_LOOSE_SPLIT_OF.get(found[1], "") if loose else "")


def check_no_splits(root: Path, folders: Sequence[str]) -> None:
    """Check that class folders are not splits under names that are not known, such as `train1`.

    Raises:
        DataError: all of them look like splits, some like train and some like others.
    """
    train = {name for name in folders if _LIKE_TRAIN.search(name.lower())}
    other = {name for name in folders if _LIKE_OTHER.search(name.lower())}
    if train and other - train and train | other == set(folders):
        raise DataError(
            f"the folders {shorten(folders)} in {root} look like splits and not like classes: "
            "rename them to train, valid and test, with a folder for each class inside"
        )


def roots(channels: Mapping[str, Path], notes: list[str], passed: Passed) -> dict[str, Path]:
    """Return the folder of each split that exists; `train` always exists.

    Args:
        channels: channel name -> folder.
        notes: gets sentences on what was decided.
        passed: gets what is passed over.

    Raises:
        DataError: the channels do not say which pictures are for training, or two are the same.
    """
    by_split = assigned(list(channels))
    if set(by_split) == {"train"}:
        return inside(channels[by_split["train"]], notes, passed)
    found = {split: channels[name] for split, name in by_split.items()}
    _check_different(found)
    _check_nothing_inside(found["train"])
    return found


def assigned(channels: Sequence[str]) -> dict[str, str]:
    """Return split -> its channel; a single channel of another name counts as `train`.

    Args:
        channels: the names of all channels, also of those without pictures.

    Raises:
        DataError: two channels are for one split, one has no name that is known, or none is for
            training.
    """
    given = [name for name in channels if name not in NOT_PICTURES]
    by_split: dict[str, str] = {}
    for name in given:
        split = split_of(name)
        if split in by_split:
            raise DataError(f"channels {by_split[split]} and {name} are both for {split}: give one")
        if split:
            by_split[split] = name
    known = sorted(by_split.values())
    unknown = [name for name in given if name not in known]
    if known and unknown:
        raise DataError(
            f"channel {shorten(unknown)} next to {shorten(known)} is none that Kennel knows: "
            f"rename it, or leave it out; the names are {ACCEPTED}"
        )
    if len(unknown) == 1:
        return {"train": unknown[0]}
    if "train" not in by_split:
        raise DataError(
            f"no training pictures: the channels are {shorten(channels) or 'none'}; name one "
            "`train` (and `valid`, `test`), or give one channel that holds folders of these names"
        )
    return by_split


def _check_different(found: Mapping[str, Path]) -> None:
    real = {split: path.resolve() for split, path in found.items()}
    for one, path in real.items():
        for other in real:
            if other > one and real[other] == path:
                raise DataError(
                    f"channels {one} and {other} are the same folder: give each its own pictures, "
                    "or give `train` alone, which is then split"
                )


def _check_nothing_inside(train: Path) -> None:
    inner = [path.name for path in subfolders(train, Passed())[0]]
    splits = [name for name in inner if split_of(name)]
    if len(splits) > 1 and len(splits) == len(inner):
        raise DataError(
            f"channel train at {train} holds the folders {shorten(splits)} and not classes: give "
            "this channel alone, or give train the address of its training folder"
        )


def inside(channel: Path, notes: list[str], passed: Passed) -> dict[str, Path]:
    """Return the split folders in a channel, or in its only folder; else the channel as `train`.

    Raises:
        DataError: it is unclear whether folders are splits or classes.
    """
    folder = channel
    for _ in range(_DEPTH):
        skipped = Passed()
        folders, files = subfolders(folder, skipped)
        found = _splits_among(folder, folders, notes, skipped)
        if found:
            for file in files:
                skipped.add("outside the split folders", file.path)
            passed.merge(skipped)
            return found
        if len(folders) != 1:
            break
        folder = folders[0]
    return {"train": channel}


def _splits_among(
    root: Path, folders: list[Path], notes: list[str], passed: Passed
) -> dict[str, Path]:
    """Return the split folders among the folders of `root`; empty if they are classes."""
    strict = {folder: split_of(folder.name) for folder in folders}
    if not any(strict.values()):
        return {}
    if "train" not in strict.values():
        _check_without_train(root, strict, notes)
        return {}
    named = {folder: split_of(folder.name, loose=True) for folder in folders}
    others = [folder for folder in folders if not named[folder]]
    train = next(folder for folder, split in named.items() if split == "train")
    below, pictures = subfolders(train, Passed())
    if others and pictures and not below:
        notes.append(f"{train} counts as a class, since it has pictures and no class folders")
        return {}
    found: dict[str, Path] = {}
    for folder, split in named.items():
        if split in found:
            raise DataError(
                f"the folders {found[split].name} and {folder.name} in {root} are both for "
                f"{split}: keep one"
            )
        if split:
            found[split] = folder
            if not strict[folder]:
                notes.append(f"the folder {folder.name} is taken as {split}")
    filled = [folder for folder in others if files_below(folder, Passed())]
    if filled and len(found) == 1:
        raise DataError(
            f"{root} has the folder {train.name} next to {shorten([one.name for one in filled])}: "
            f"if these are classes too, move them into {train.name}/; if {train.name} is a class, "
            "move its pictures out of the folders in it; else move the other folders elsewhere"
        )
    for folder in others:
        passed.add("next to the split folders", folder)
    return found


def _check_without_train(root: Path, named: Mapping[Path, str], notes: list[str]) -> None:
    splits = [folder for folder, split in named.items() if split]
    classes = [folder for folder, split in named.items() if not split]
    shown = shorten([folder.name for folder in splits])
    if not classes:
        raise DataError(
            f"{root} has the folders {shown} and no train folder: training needs one; rename the "
            "folder of the training pictures to `train`"
        )
    names = {folder.name for folder in classes}
    for folder in splits:
        below, pictures = subfolders(folder, Passed())
        if below and not pictures and names & {one.name for one in below}:
            raise DataError(
                f"{root} has the folder {folder.name} next to class folders "
                f"({shorten(sorted(names))}): "
                f"move the class folders into {root}/train"
            )
        notes.append(f"{folder} counts as a class, since there is no train folder next to it")
