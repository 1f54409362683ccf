"""What `kennel data check` finds in a folder of photos: classes, splits, bad files, copies, leaks.

It looks for files where the training image will: in train, valid and test folders under any of
their names, or in class folders alone.
"""

import hashlib
import os
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar

from pictures import shards
from pictures.folders import SPLITS, files_below, subfolders
from pictures.picture import DataError, shorten

T = TypeVar("T")
# Two pictures look alike if their 64-bit perceptual hashes differ in at most so many bits.
ALIKE = 4
# Shorter side in pixels below which no hash is computed: a hash shrinks pictures to 32 pixels, so
# that small icons and digits would all look alike.
HASHED_FROM = 64
# Ratio of the largest class to the smallest from which imbalance is reported.
_UNBALANCED = 3


@dataclass(frozen=True)
class Photo:
    """One file: where it is, what it is for, and what it holds."""

    path: Path
    split: str
    label: str
    size: int = 0
    digest: str = ""
    hash: int | None = None
    unreadable: str = ""


@dataclass(frozen=True)
class Report:
    """All that was found."""

    photos: tuple[Photo, ...]
    copies: tuple[tuple[Photo, ...], ...] = ()
    alike: tuple[tuple[Photo, ...], ...] = ()
    near_checked: bool = False
    problems: tuple[str, ...] = field(default=())

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
        counts: dict[str, Counter[str]] = defaultdict(Counter)
        for photo in self.photos:
            counts[photo.label][photo.split] += not photo.unreadable
        return dict(sorted(counts.items()))


def files(root: Path) -> Iterator[tuple[Path, str, str]]:
    """Yield every file with its split and class.

    Raises:
        DataError: the folder holds no class folders.
    """
    inside = subfolders(root)
    known = {alias: split for split, aliases in SPLITS.items() for alias in aliases}
    split_folders = [folder for folder in inside if folder.name.lower() in known]
    found = False
    for folder in split_folders or [root]:
        split = known.get(folder.name.lower(), "train") if split_folders else "train"
        for label in subfolders(folder):
            for path in files_below(label):
                found = True
                yield path, split, label.name
    if not found:
        if any(shards.is_packed(one, class_folders=False) for one in (root, *inside)):
            raise DataError(f"{root} holds packed shards: give the folder that they were made from")
        raise DataError(
            f"{root} holds no pictures in class folders: arrange them as "
            f"{root.name}/CLASS/photo.jpg or {root.name}/train/CLASS/photo.jpg"
        )


def check(root: Path, progress: Callable[[int, int], None] = lambda _done, _all: None) -> Report:
    """Look at every picture below `root`.

    Args:
        root: the data set.
        progress: called with how many are done, of how many.

    Raises:
        DataError: no class folders, or Pillow is not installed.
    """
    if not find_spec("PIL"):
        raise DataError("Pillow is missing: pip install 'sagemaker-kennel[data]'")
    listed = list(files(root))
    photos = []
    # Decoders release Python's global lock.
    with ThreadPoolExecutor(min(os.cpu_count() or 1, 16)) as pool:
        for photo in pool.map(_inspect, listed):
            photos.append(photo)
            progress(len(photos), len(listed))
    by_digest = _grouped((one for one in photos if one.digest), lambda one: one.digest)
    copies = tuple(group for group in by_digest if len(group) > 1)
    singles = [group[0] for group in by_digest if group[0].hash is not None]
    return Report(
        photos=tuple(photos),
        copies=copies,
        alike=tuple(_alike(singles)),
        near_checked=find_spec("imagehash") is not None,
        problems=tuple(_problems(photos)),
    )


def _inspect(listed: tuple[Path, str, str]) -> Photo:
    """Read one file with training's decoder: its digest and its perceptual hash."""
    from pictures.decoder import ImageError, decode

    path, split, label = listed
    content, digest = b"", ""
    try:
        content = path.read_bytes()
        digest = hashlib.sha256(content).hexdigest()
        # A large JPEG is decoded at a fraction of its size, which is enough for a hash.
        bits = _perceptual_hash(decode(content, at_least=256))
    except (ImageError, OSError) as error:
        return Photo(path, split, label, len(content), digest, unreadable=str(error))
    return Photo(path, split, label, len(content), digest, bits)


def _perceptual_hash(picture: Any) -> int | None:
    """64 bits that change little when a picture is scaled or compressed again (pHash).

    None for a picture below HASHED_FROM, and where the imagehash package is missing.
    """
    if min(picture.size) < HASHED_FROM:
        return None
    try:
        import imagehash
    except ImportError:
        return None
    return int(str(imagehash.phash(picture)), 16)


def _alike(photos: Sequence[Photo]) -> Iterator[tuple[Photo, ...]]:
    """Groups whose hashes differ in at most ALIKE bits, joined through their neighbours.

    Two 64-bit numbers that differ in at most 4 bits agree in at least one of five parts: only
    pictures that share a part are compared.
    """
    hashes = [photo.hash or 0 for photo in photos]
    leader = list(range(len(photos)))

    def lead(one: int) -> int:
        while leader[one] != one:
            leader[one] = leader[leader[one]]
            one = leader[one]
        return one

    for shift, width in ((0, 13), (13, 13), (26, 13), (39, 13), (52, 12)):
        parts: dict[int, list[int]] = defaultdict(list)
        for place, bits in enumerate(hashes):
            part = parts[bits >> shift & (1 << width) - 1]
            for other in part:
                if (bits ^ hashes[other]).bit_count() <= ALIKE:
                    leader[lead(place)] = lead(other)
            part.append(place)
    groups = _grouped(range(len(photos)), lead)
    yield from (tuple(photos[place] for place in group) for group in groups if len(group) > 1)


def _problems(photos: Sequence[Photo]) -> Iterator[str]:
    splits: dict[str, Counter[str]] = defaultdict(Counter)
    for photo in photos:
        splits[photo.split][photo.label] += not photo.unreadable
    if "train" not in splits:
        yield "there is no train folder: training needs one"
        return
    train = splits["train"]
    if len(train) < 2:
        yield f"one class only ({next(iter(train))}): a classifier needs at least two"
    for split, counts in splits.items():
        if missing := sorted(train.keys() - counts.keys()):
            yield f"{split} lacks classes that train has: {shorten(missing)}"
        if extra := sorted(counts.keys() - train.keys()):
            yield f"{split} has classes that train lacks: {shorten(extra)}"
    if empty := sorted(label for label, count in train.items() if not count):
        yield f"train has classes without a readable picture: {shorten(empty)}"
    most, least = max(train.values()), min(train.values())
    if least and most / least >= _UNBALANCED:
        yield (
            f"unbalanced: {max(train, key=lambda one: train[one])} has {most} pictures and "
            f"{min(train, key=lambda one: train[one])} {least}: "
            'consider hyperparameters.class_weights = "balanced"'
        )


def _grouped(items: Iterable[T], key: Callable[[T], object]) -> list[tuple[T, ...]]:
    groups: dict[object, list[T]] = defaultdict(list)
    for item in items:
        groups[key(item)].append(item)
    return [tuple(group) for group in groups.values()]
