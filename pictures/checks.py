"""What `kennel data check` finds in photos: what a job would do with them, and what is suspicious.

Folders are read, and the split is made, by the functions that the job calls; pictures are decoded
as training decodes them. So an error here is the job's error.
"""

import hashlib
import os
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TypeVar

from pictures import channels
from pictures.copies import near, saved
from pictures.picture import (
    NONE_READABLE,
    DataError,
    Picture,
    Splits,
    most_unreadable,
    shorten,
    too_many_unreadable,
)
from pictures.shards import ShardError
from pictures.tables.table import FIND, TableOptions

T = TypeVar("T")
# Ratio of the largest class to the smallest from which imbalance is reported.
_UNBALANCED = 3


@dataclass(frozen=True)
class Photo:
    """A picture of the job: its part, the name of its class, and what was found in it."""

    picture: Picture
    split: str
    label: str
    size: int = 0
    digest: str = ""
    hash: int | None = None
    unreadable: str = ""
    remarks: tuple[str, ...] = ()

    @property
    def path(self) -> Path:
        """Where it is."""
        return self.picture.path


@dataclass(frozen=True)
class Report:
    """All that was found.

    Attributes:
        root: the folder of the training pictures.
        splits: the pictures of the job, as it would see them.
        photos: what was found in each.
        errors: why the job would fail.
        warnings: what the job would only report.
        copies: groups of equal files.
        alike: groups of similar pictures.
        near_checked: whether similar pictures were looked for.
    """

    root: Path
    splits: Splits
    photos: tuple[Photo, ...]
    errors: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    copies: tuple[tuple[Photo, ...], ...] = ()
    alike: tuple[tuple[Photo, ...], ...] = ()
    near_checked: bool = False

    @property
    def unreadable(self) -> tuple[Photo, ...]:
        """Files that cannot be decoded."""
        return tuple(photo for photo in self.photos if photo.unreadable)

    @property
    def leaks(self) -> tuple[tuple[Photo, ...], ...]:
        """Groups of equal or similar pictures that are in more than one split."""
        groups = (*self.copies, *self.alike)
        return tuple(group for group in groups if len({one.split for one in group}) > 1)

    def counts(self) -> dict[str, Counter[str]]:
        """Class -> split -> number of readable pictures."""
        return _counts(self.photos)


def check(
    given: Path | Mapping[str, Path],
    progress: Callable[[int, int], None] = lambda _done, _all: None,
    *,
    split_seed: int = 0,
    valid_fraction: float = 0.15,
    test_fraction: float = 0.15,
    max_unreadable: float = 0.01,
    table: TableOptions = FIND,
) -> Report:
    """Look at every picture that a job would be given.

    Args:
        given: the folder of the only channel, or the folder of each channel.
        progress: called with how many are done, of how many.
        split_seed: the job's hyperparameter, as the others below.
        valid_fraction: see `pictures.channels.find`.
        test_fraction: see `pictures.channels.find`.
        max_unreadable: the share of pictures that can be unreadable.
        table: which table has the labels, see `pictures.tables`.

    Raises:
        DataError: the job would fail before it reads a picture; or Pillow is not installed.
    """
    if not find_spec("PIL"):
        raise DataError("Pillow is missing: pip install 'sagemaker-kennel[data]'")
    by_channel = {"data": given} if isinstance(given, Path) else given
    splits = channels.find(
        by_channel,
        split_seed=split_seed,
        valid_fraction=valid_fraction,
        test_fraction=test_fraction,
        table=table,
    )
    listed = [
        (one, part, splits.folders[one.label])
        for part, own in splits.parts().items()
        for one in own
    ]
    photos: list[Photo] = []
    # Decoders release Python's global lock.
    with ThreadPoolExecutor(min(os.cpu_count() or 1, 16)) as pool:
        for photo in pool.map(_inspect, listed):
            photos.append(photo)
            progress(len(photos), len(listed))
    readable = [one for one in photos if not one.unreadable]
    by_digest = _grouped(readable, lambda one: one.digest)
    singles = [group[0] for group in by_digest if group[0].hash is not None]
    return Report(
        root=splits.root,
        splits=splits,
        photos=tuple(photos),
        errors=tuple(_errors(photos, max_unreadable)),
        warnings=tuple(_warnings(photos)),
        copies=tuple(group for group in by_digest if len(group) > 1),
        alike=tuple(
            tuple(singles[place] for place in group)
            for group in near.groups([one.hash or 0 for one in singles])
        ),
        near_checked=near.available(),
    )


def save_near_copies(report: Report) -> Path:
    """Write the similar pictures next to the class folders; the job keeps each group together."""
    groups = [[one.picture for one in group] for group in report.alike]
    return saved.write(report.root, groups, report.splits.folders)


def _inspect(listed: tuple[Picture, str, str]) -> Photo:
    """Read one file with training's decoder: its digest and its perceptual hash."""
    from pictures.decoder import ImageError, read

    picture, split, label = listed
    content, digest = b"", ""
    try:
        content = picture.read()
        digest = hashlib.sha256(content).hexdigest()
        # A large JPEG is decoded at a fraction of its size, which is enough for a hash.
        decoded = read(content, at_least=256)
        bits = near.perceptual_hash(decoded.image)
    except (ImageError, ShardError, OSError) as error:
        return Photo(picture, split, label, len(content), digest, unreadable=str(error))
    return Photo(picture, split, label, len(content), digest, bits, remarks=decoded.remarks)


def _errors(photos: Sequence[Photo], max_unreadable: float) -> Iterator[str]:
    """Yield why a job would fail when it reads the pictures."""
    found = {str(one.path): one.unreadable for one in photos if one.unreadable}
    if len(found) > most_unreadable(max_unreadable, len(photos)):
        yield too_many_unreadable(found, len(photos), max_unreadable)
    readable = Counter(one.split for one in photos if not one.unreadable)
    for part in dict.fromkeys(one.split for one in photos):
        if not readable[part]:
            yield f"{NONE_READABLE} ({part})"


def _warnings(photos: Sequence[Photo]) -> Iterator[str]:
    """Yield what a job would not refuse, and a person would want to know."""
    train = {label: count["train"] for label, count in _counts(photos).items()}
    if empty := [label for label, count in train.items() if not count]:
        yield f"no training picture of {shorten(empty)} can be read: it will not be recognised"
    totals = Counter(one.label for one in photos)
    if single := [label for label, count in totals.items() if count == 1]:
        yield (
            f"{len(single)} of {len(totals)} classes have one picture, for training only: "
            f"{shorten(single)}: they are neither validated nor tested"
        )
    by_remark: dict[str, list[str]] = defaultdict(list)
    for photo in photos:
        for remark in photo.remarks:
            by_remark[remark].append(str(photo.path))
    for remark, paths in sorted(by_remark.items()):
        yield f"{len(paths)} pictures, {shorten(paths, 3)}: {remark}"
    most, least = max(train.values()), min(train.values())
    if least and most / least >= _UNBALANCED:
        yield (
            f"unbalanced: {max(train, key=lambda one: train[one])} has {most} training pictures "
            f"and {min(train, key=lambda one: train[one])} {least}: "
            'consider hyperparameters.class_weights = "balanced"'
        )


def _counts(photos: Iterable[Photo]) -> dict[str, Counter[str]]:
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for photo in photos:
        counts[photo.label][photo.split] += not photo.unreadable
    return dict(sorted(counts.items()))


def _grouped(items: Iterable[T], key: Callable[[T], object]) -> list[tuple[T, ...]]:
    groups: dict[object, list[T]] = defaultdict(list)
    for item in items:
        groups[key(item)].append(item)
    return [tuple(group) for group in groups.values()]
