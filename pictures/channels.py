"""From SageMaker's input channels to labelled pictures: which folders, which classes, which split.

Nothing is decoded here. A folder that `kennel data pack` packed counts as the original folder.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from pictures import folders
from pictures.folders import SPLITS, Found
from pictures.picture import DataError, Picture, Splits, shorten
from pictures.split import split

PRETRAINED = "pretrained"  # the channel of pretrained weights
_NOT_PICTURES = (PRETRAINED, "checkpoint", "model", "code")


def find(
    channels: Mapping[str, Path], *, split_seed: int, valid_fraction: float, test_fraction: float
) -> Splits:
    """Find the pictures in a job's channels.

    Three layouts are understood: a channel for each split, under any of its usual names; one
    channel that holds train, valid and test folders; or train alone, from which valid and test are
    split, class by class, by a hash of each picture's name.

    Args:
        channels: channel name -> folder, as SageMaker mounted them.
        split_seed: of the split, see `pictures.split`.
        valid_fraction: the share split off train if there is no `valid`.
        test_fraction: the share split off train if there is neither `valid` nor `test`.

    Raises:
        DataError: no pictures, fewer than two classes, an empty class, or classes that differ
            between the splits.
    """
    roots = _roots(channels)
    found = folders.classes(roots["train"], "train")
    names = tuple(found)
    notes: list[str] = []
    empty = [name for name, files in found.items() if not files]
    if empty:
        raise DataError(
            f"class folders without a picture in {roots['train']}: {shorten(empty)}: "
            "add pictures or remove the folders"
        )
    if len(names) < 2:
        raise DataError(
            f"one class only ({shorten(names)}) in {roots['train']}: a classifier needs at least "
            "two folders of pictures"
        )
    train = _label(found, names, roots["train"])
    others: dict[str, tuple[Picture, ...]] = {}
    for name in ("valid", "test"):
        if name in roots:
            found = folders.classes(roots[name], name)
            _check_classes(names, found, name, roots[name], notes)
            others[name] = _label(found, names, roots[name])
    made: tuple[str, ...] = ()
    if "valid" not in others:
        shares = {"valid": valid_fraction}
        if "test" not in others:
            shares["test"] = test_fraction
        train, parts = split(train, names, shares, split_seed)
        others |= parts
        counts = ", ".join(f"{len(part)} {name}" for name, part in parts.items())
        made = tuple(parts)
        notes.append(f"split off train, by split_seed {split_seed}: {counts}")
        if not others["valid"]:
            raise DataError(
                f"no picture in {roots['train']} can be spared for validation: add a `valid` "
                "channel, more pictures, or raise valid_fraction"
            )
    return Splits(
        names,
        folders.display_names(names),
        train,
        others["valid"],
        others.get("test", ()),
        tuple(notes),
        made,
        split_seed,
    )


def _roots(channels: Mapping[str, Path]) -> dict[str, Path]:
    """Return the folder of each split that exists; `train` always exists."""
    roots: dict[str, Path] = {}
    for name, aliases in SPLITS.items():
        present = [alias for alias in aliases if alias in channels]
        if len(present) > 1:
            raise DataError(f"channels {' and '.join(present)} are both for {name}: give one")
        if present:
            roots[name] = channels[present[0]]
    data = [name for name in channels if name not in _NOT_PICTURES]
    single = roots.get("train") or (channels[data[0]] if len(data) == 1 else None)
    if single is None:
        raise DataError(
            f"no training pictures: the channels are {shorten(list(channels)) or 'none'}; name one "
            "`train` (and `valid`, `test`), or give one channel that holds folders of these names"
        )
    if set(roots) <= {"train"}:
        inside = _inside(single)
        if "train" in inside:
            return inside
    roots["train"] = single
    return roots


def _inside(channel: Path) -> dict[str, Path]:
    """Return train, valid and test folders inside a channel, or inside its only folder."""
    inside = folders.subfolders(channel)
    for folder in (channel, *(inside if len(inside) == 1 else ())):
        roots = {
            name: folder / alias
            for name, aliases in SPLITS.items()
            for alias in aliases
            if (folder / alias).is_dir()
        }
        if "train" in roots:
            return roots
    return {}


def _check_classes(
    names: Sequence[str],
    found: Mapping[str, list[Found]],
    split: str,
    root: Path,
    notes: list[str],
) -> None:
    """Check a split's classes against those of train; add a note on classes that are absent."""
    unknown = sorted(found.keys() - set(names))
    if unknown:
        raise DataError(
            f"classes in {root} ({split}) that train does not have: {shorten(unknown)}: use the "
            "same folder names in every channel"
        )
    absent = [name for name in names if not found.get(name)]
    if len(absent) == len(names):
        raise DataError(f"no pictures in {root} (channel {split})")
    if absent:
        notes.append(f"{split} has no pictures of {shorten(absent)}: they are not measured there")


def _label(
    found: Mapping[str, list[Found]], names: Sequence[str], root: Path
) -> tuple[Picture, ...]:
    return tuple(
        Picture(
            path,
            label,
            place,
            path.relative_to(root / name).as_posix(),
            place.size if place else path.stat().st_size,
        )
        for label, name in enumerate(names)
        for path, place in found.get(name, [])
    )
