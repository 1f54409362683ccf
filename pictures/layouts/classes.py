"""The classes of a job: at least two in train, none empty, and no others in valid and test."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from pictures.picture import DataError, Passed, Sample, shorten


def check_train(root: Path, found: Mapping[str, Sequence[Sample]], passed: Passed) -> None:
    """Check that the training pictures have at least two classes, none of them empty."""
    empty = [name for name, samples in found.items() if not samples]
    if empty:
        skipped = passed.sentence(root)
        raise DataError(
            f"class folders without a picture in {root}: {shorten(empty)}: "
            f"add pictures or remove the folders{'; ' if skipped else ''}{skipped}"
        )
    if len(found) < 2:
        raise DataError(
            f"one class only ({shorten(list(found))}) in {root}: a classifier needs at least "
            f"two folders of pictures{did_you_mean(root, found)}"
        )


def check_others(
    names: Sequence[str],
    found: Mapping[str, Sequence[Sample]],
    part: str,
    root: Path,
    notes: list[str],
) -> None:
    """Check a part's classes against those of train; add a note on classes that are absent."""
    unknown = sorted(found.keys() - set(names))
    if unknown:
        by_case = {name.casefold(): name for name in names}
        near = [one for one in unknown if one.casefold() in by_case]
        meant = [f"{one} (train has {by_case[one.casefold()]})" for one in near]
        raise DataError(
            f"classes in {root} ({part}) that train does not have: {shorten(meant or unknown)}: "
            f"use the same folder names in every channel{did_you_mean(root, found)}"
        )
    absent = [name for name in names if not found.get(name)]
    if len(absent) == len(names):
        raise DataError(f"no pictures in {root} (channel {part})")
    if absent:
        notes.append(f"{part} has no pictures of {shorten(absent)}: they are not measured there")


def inner_folders(names: Iterable[str]) -> tuple[str, ...]:
    """Return the folders that all pictures of a class are in, by their names; else nothing."""
    first = {name.partition("/")[0] if "/" in name else "" for name in names}
    return () if "" in first else tuple(sorted(first))


def did_you_mean(root: Path, classes: Mapping[str, Sequence[Sample]]) -> str:
    """Return a question if the one class folder in `root` holds the class folders, else nothing."""
    for name, samples in classes.items():
        inner = inner_folders(one.name for one in samples)
        if len(inner) > 1:
            return f"; did you mean {root / name}, with the folders {shorten(inner)}?"
    return ""
