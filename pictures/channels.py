"""From SageMaker's input channels to labelled pictures: which folders, which classes, which split.

Nothing is decoded here. A folder that `kennel data pack` packed counts as the original folder.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pictures import folders
from pictures.copies import equal, saved
from pictures.layouts import splits as names_of
from pictures.layouts.classes import check_others, check_train
from pictures.layouts.splits import PRETRAINED as PRETRAINED
from pictures.picture import DataError, Listing, Passed, Picture, Sample, Splits, shorten
from pictures.split import split
from pictures.tables import finding
from pictures.tables.table import FIND, TableOptions
from pictures.tested import Tested


@dataclass(frozen=True)
class Layout:
    """The pictures of each part that is given, before any is split off train.

    Attributes:
        roots: the folder of each part; `train` is always there.
        listings: its classes and pictures.
        notes: sentences for the log.
        passed: what was passed over.
    """

    roots: dict[str, Path]
    listings: dict[str, Listing]
    notes: tuple[str, ...]
    passed: Passed


def layout(channels: Mapping[str, Path], table: TableOptions = FIND) -> Layout:
    """Find the parts that the channels hold, and the class folders or tables of each.

    Three layouts are understood: a channel for each split, under any of its usual names; one
    channel that holds train, valid and test folders; or train alone.

    Args:
        channels: channel name -> folder.
        table: which table has the labels, see `pictures.tables`.

    Raises:
        DataError: the channels or folders are unclear, or hold no pictures.
    """
    notes: list[str] = []
    passed = Passed()
    roots, listings = _by_table(channels, table)
    if not listings:
        found = names_of.roots(channels, notes, passed)
        roots = {part: found[part] for part in names_of.SPLITS if part in found}
        listings = {part: _listing(root, part, table) for part, root in roots.items()}
    for listing in listings.values():
        notes += listing.notes
        passed.merge(listing.passed)
    return Layout(roots, listings, tuple(notes), passed)


def _by_table(
    channels: Mapping[str, Path], table: TableOptions
) -> tuple[dict[str, Path], dict[str, Listing]]:
    """Return the parts of a table in the only channel, which can name several; empty if none."""
    given = [path for name, path in channels.items() if name.lower() not in names_of.NOT_PICTURES]
    found = finding.find(given[0], table, required=False) if len(given) == 1 else None
    if found is None:
        return {}, {}
    root, listings = found
    return dict.fromkeys(listings, root), listings


def _listing(root: Path, part: str, table: TableOptions) -> Listing:
    """Return what the folder of one part holds, by its table or its class folders."""
    found = finding.find(root, table, required=True)
    if found is None:
        return folders.read(root, part)
    listings = found[1]
    if set(listings) not in ({"train"}, {part}):
        raise DataError(
            f"the table in {root} ({part}) names the splits {shorten(list(listings))}, and the "
            "folders or channels do so too: keep one of both"
        )
    return next(iter(listings.values()))


def find(
    channels: Mapping[str, Path],
    *,
    split_seed: int,
    valid_fraction: float,
    test_fraction: float,
    tested: Tested | None = None,
    table: TableOptions = FIND,
) -> Splits:
    """Find the pictures in a job's channels.

    Where only training pictures are given, valid and test are split off them, class by class, by a
    hash of each picture's name.

    Args:
        channels: channel name -> folder, as SageMaker mounted them.
        split_seed: of the split, see `pictures.split`.
        valid_fraction: the share split off train if there is no `valid`.
        test_fraction: the share split off train if there is neither `valid` nor `test`.
        tested: the test pictures of the bundle that training continues from.
        table: which table has the labels, see `pictures.tables`.

    Raises:
        DataError: no pictures, fewer than two classes, an empty class, classes that differ between
            the splits, or a picture in two classes.
    """
    given = layout(channels, table)
    notes = list(given.notes)
    train_root, found = given.roots["train"], given.listings["train"].classes
    check_train(train_root, found, given.passed)
    names = tuple(found)
    parts: dict[str, tuple[Picture, ...]] = {}
    for part, listing in given.listings.items():
        if part != "train":
            check_others(names, listing.classes, part, given.roots[part], notes)
        parts[part] = _label(listing.classes, names)
    equal.check_parts_differ(parts)
    same = equal.groups([one for part in parts.values() for one in part])
    equal.check_labels(same, names)
    notes += equal.leaks(same, parts)
    made: tuple[str, ...] = ()
    again = tested.among([*parts["train"], *parts.get("valid", ())], names) if tested else []
    if "valid" in parts:
        notes += _kept(again, moved=False)
    else:
        shares = {"valid": valid_fraction}
        if "test" not in parts:
            shares["test"] = test_fraction
            if tested:
                tested.check_seed(split_seed)
        same = equal.within(same, parts["train"])
        near = saved.load(train_root, parts["train"], names)
        remaining, cut = split(
            parts["train"], names, shares, split_seed, together=[*same, *near], tested=again
        )
        made = tuple(cut)
        parts |= {"train": remaining} | cut
        notes += _on_split(parts, made, split_seed, train_root, names)
        for what, groups in (("equal bytes", same), ("similar", near)):
            if groups:
                notes.append(f"copies ({what}): {len(groups)} groups, each kept in one part")
        notes += _kept(again, moved="test" in made)
    if skipped := given.passed.sentence(_common(given.roots)):
        notes.append(skipped)
    return Splits(
        names,
        folders.display_names(names),
        parts["train"],
        parts["valid"],
        parts.get("test", ()),
        tuple(notes),
        made,
        split_seed,
        train_root,
    )


def _on_split(
    parts: Mapping[str, Sequence[Picture]],
    made: Sequence[str],
    split_seed: int,
    root: Path,
    names: Sequence[str],
) -> list[str]:
    """Return the notes on a split that was made, or raise if a part that is needed is empty."""
    if not parts["valid"]:
        raise DataError(
            f"no picture in {root} can be spared for validation: add a `valid` "
            "channel, more pictures, or raise valid_fraction"
        )
    notes = [
        f"split off train, by split_seed {split_seed}: "
        + ", ".join(f"{len(parts[part])} {part}" for part in made)
    ]
    for part in ("train", *made):
        present = {one.label for one in parts[part]}
        absent = [name for label, name in enumerate(names) if label not in present]
        if absent and part == "train":
            raise DataError(
                f"all pictures of {shorten(absent)} in {root} were test pictures of the bundle "
                "that training continues from: add other pictures of them"
            )
        if absent and parts[part]:
            notes.append(
                f"{part} has no pictures of {shorten(absent)}, which have too few: they are not "
                "measured there"
            )
    return notes


def _kept(again: Sequence[Picture], *, moved: bool) -> list[str]:
    """Return a note on the test pictures of the bundle that training continues from."""
    if not again:
        return []
    if moved:
        return [f"{len(again)} test pictures of the bundle stay test pictures"]
    return [
        f"WARNING: {len(again)} pictures that the bundle was tested with are in train or valid now "
        f"({shorten([str(one.path) for one in again], 3)}): do not compare with its test accuracy"
    ]


def _common(roots: Mapping[str, Path]) -> Path:
    return Path(os.path.commonpath([str(root) for root in roots.values()]))


def _label(found: Mapping[str, Sequence[Sample]], names: Sequence[str]) -> tuple[Picture, ...]:
    return tuple(
        Picture(one.path, label, one.place, one.name, one.size)
        for label, name in enumerate(names)
        for one in found.get(name, ())
    )
