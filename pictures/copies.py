"""Copies: pictures with equal bytes, found by reading little; and what follows from them.

Only files of equal size are compared, first by their last bytes. So a folder of photos is hardly
read, and a folder of bitmaps of one size is read by the ends of its files.
"""

import hashlib
import json
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pictures.folders import NEAR_COPIES
from pictures.picture import DataError, Picture, shorten
from pictures.shards import ShardError

_TAIL = 4096  # bytes; the beginnings of files of one camera are alike
_THREADS = 16
_MOST_SAVED = 2**26  # bytes of a file of near copies

Group = tuple[Picture, ...]


def equal(pictures: Sequence[Picture]) -> list[Group]:
    """Return the groups of pictures with equal bytes, in the order of their first pictures.

    Files that are no pictures, such as empty ones, do not count.
    """
    from pictures.decoder import ImageError, cost

    with ThreadPoolExecutor(_THREADS) as pool:

        def narrow(groups: Iterable[Group], look: Callable[[Picture], Hashable]) -> list[Group]:
            candidates = [one for group in groups for one in group]
            found: dict[Hashable, list[Picture]] = defaultdict(list)
            for one, key in zip(candidates, pool.map(look, candidates), strict=True):
                if key is not None:
                    found[key].append(one)
            return [tuple(group) for group in found.values() if len(group) > 1]

        groups = narrow([tuple(pictures)], _size)
        groups = narrow(groups, _tail)
        groups = narrow(groups, _digest)

        def counts(group: Group) -> bool:
            try:
                cost(group[0].read())
            except (ImageError, OSError, ShardError):
                return False
            return True

        return [group for group, good in zip(groups, pool.map(counts, groups), strict=True) if good]


def _size(picture: Picture) -> Hashable:
    if picture.place:
        return picture.place.size, picture.place.crc
    return picture.size or None


def _tail(picture: Picture) -> Hashable:
    if picture.place:
        return _size(picture)
    try:
        with picture.path.open("rb") as file:
            file.seek(max(0, picture.size - _TAIL))
            return picture.size, file.read(_TAIL)
    except OSError:
        return None  # counted as unreadable when it is used


def _digest(picture: Picture) -> Hashable:
    try:
        return hashlib.sha256(picture.read()).digest()
    except (OSError, ShardError):
        return None


def check_labels(groups: Sequence[Group], folders: Sequence[str]) -> None:
    """Check that copies are of one class.

    Raises:
        DataError: a picture is in two classes.
    """
    conflicts = [group for group in groups if len({one.label for one in group}) > 1]
    if conflicts:
        shown = [
            " = ".join(f"{folders[one.label]}/{one.own_name}" for one in _first_of_each(group))
            for group in conflicts
        ]
        raise DataError(
            f"{len(conflicts)} {'pictures are' if len(conflicts) > 1 else 'picture is'} in two "
            f"classes (equal bytes): {shorten(shown)}: keep each in the class it belongs to"
        )


def _first_of_each(group: Group) -> list[Picture]:
    return list({one.label: one for one in reversed(group)}.values())[::-1][:3]


def leaks(groups: Sequence[Group], parts: Mapping[str, Sequence[Picture]]) -> list[str]:
    """Return a note for each pair of parts that share pictures, with how many."""
    where = {id(one): name for name, part in parts.items() for one in part}
    shared: dict[tuple[str, str], int] = defaultdict(int)
    first: dict[tuple[str, str], str] = {}
    for group in groups:
        found = {where[id(one)]: one for one in reversed(group) if id(one) in where}
        names = [name for name in parts if name in found]
        for index, one in enumerate(names):
            for other in names[index + 1 :]:
                shared[one, other] += 1
                first.setdefault((one, other), str(found[other].path))
    return [
        f"WARNING: pictures that {other} shares with {one} (equal bytes): {count} "
        f"({shorten([first[one, other]])}): what is measured on {other} looks better than it is"
        for (one, other), count in shared.items()
    ]


def same_listing(one: Sequence[Picture], other: Sequence[Picture]) -> bool:
    """Whether two parts have the same pictures: names, classes, sizes and bytes."""
    pairs = [sorted((p.label, p.own_name, p.size) for p in part) for part in (one, other)]
    if not one or pairs[0] != pairs[1]:
        return False
    by_name = {(p.label, p.own_name): p for p in other}
    return all(_digest(p) == _digest(by_name[p.label, p.own_name]) for p in one)


def saved_near_copies(
    root: Path, pictures: Sequence[Picture], folders: Sequence[str]
) -> list[Group]:
    """Return the groups that `kennel data check --save` wrote into the folder of the photos.

    Names that are there no more are left out.

    Raises:
        DataError: the file is damaged.
    """
    path = root / NEAR_COPIES
    try:
        size = path.stat().st_size
    except OSError:
        return []
    try:
        if size > _MOST_SAVED:
            raise ValueError(f"{size:,} bytes")
        groups = json.loads(path.read_bytes())["groups"]
        by_name = {f"{folders[one.label]}/{one.own_name}": one for one in pictures}
        return [tuple(by_name[name] for name in group if name in by_name) for group in groups]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise DataError(
            f"{path} is not a file of near copies ({error}): delete it, or write it again with "
            "`kennel data check --save`"
        ) from error


def save_near_copies(
    root: Path, groups: Sequence[Sequence[Picture]], folders: Sequence[str]
) -> Path:
    """Write groups of similar pictures into the folder of the photos, for the job to read."""
    names = [[f"{folders[one.label]}/{one.own_name}" for one in group] for group in groups]
    path = root / NEAR_COPIES
    path.write_text(json.dumps({"format": 1, "groups": names}, ensure_ascii=False, indent=1))
    return path
