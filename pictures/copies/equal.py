"""Copies: pictures with equal bytes, found by reading little; and what follows from them.

Only files of equal size are compared, first by their last bytes. So a folder of photos is hardly
read, and a folder of bitmaps of one size is read by the ends of its files.
"""

import hashlib
import itertools
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from pictures.picture import DataError, Picture, shorten
from pictures.shards import ShardError

_TAIL = 4096  # bytes; the beginnings of files of one camera are alike
_THREADS = 16
_CHUNK = 64  # pictures that a thread takes at a time

Group = tuple[Picture, ...]


def groups(pictures: Sequence[Picture]) -> list[Group]:
    """Return the groups of pictures with equal bytes, in the order of their first pictures.

    Files that are no pictures, such as empty ones, do not count.
    """
    found = [tuple(pictures)]
    with ThreadPoolExecutor(_THREADS) as pool:
        for look in (_size, _ending, _digest):
            found = _narrowed(found, look, pool)
        good = pool.map(_is_picture, (group[0] for group in found))
        return [group for group, counts in zip(found, good, strict=True) if counts]


def _narrowed(
    groups: Iterable[Group], look: Callable[[Picture], Hashable], pool: ThreadPoolExecutor
) -> list[Group]:
    """Return the groups that also look the same; a picture that looks like None is left out."""
    candidates = [one for group in groups for one in group]
    chunks = [candidates[at : at + _CHUNK] for at in range(0, len(candidates), _CHUNK)]
    looks = pool.map(lambda chunk: [look(one) for one in chunk], chunks)
    found: dict[Hashable, list[Picture]] = defaultdict(list)
    for one, key in zip(candidates, itertools.chain.from_iterable(looks), strict=True):
        if key is not None:
            found[key].append(one)
    return [tuple(group) for group in found.values() if len(group) > 1]


def _is_picture(picture: Picture) -> bool:
    from pictures.decoder import ImageError, cost

    try:
        cost(picture.read())
    except (ImageError, OSError, ShardError):
        return False
    return True


def _size(picture: Picture) -> Hashable:
    if picture.place:
        return picture.place.size, picture.place.crc
    return picture.size or None


def _ending(picture: Picture) -> Hashable:
    if picture.place:
        return _size(picture)
    try:
        with picture.path.open("rb") as file:
            file.seek(max(0, picture.size - _TAIL))
            return picture.size, hashlib.sha256(file.read(_TAIL)).digest()
    except OSError:
        return None  # counted as unreadable when it is used


def _digest(picture: Picture) -> Hashable:
    try:
        return hashlib.sha256(picture.read()).digest()
    except (OSError, ShardError):
        return None


def within(groups: Sequence[Group], part: Sequence[Picture]) -> list[Group]:
    """Return the groups of copies that are left in one part alone."""
    own = {id(one) for one in part}
    left = [tuple(one for one in group if id(one) in own) for group in groups]
    return [group for group in left if len(group) > 1]


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


def _same(one: Sequence[Picture], other: Sequence[Picture]) -> bool:
    """Whether two parts have the same pictures: names, classes, sizes and bytes."""
    pairs = [sorted((p.label, p.own_name, p.size) for p in part) for part in (one, other)]
    if not one or pairs[0] != pairs[1]:
        return False
    by_name = {(p.label, p.own_name): p for p in other}
    return all(_digest(p) == _digest(by_name[p.label, p.own_name]) for p in one)


def check_parts_differ(parts: Mapping[str, Sequence[Picture]]) -> None:
    """Check that no two parts are the same pictures.

    Raises:
        DataError: they are.
    """
    present = list(parts)
    for index, one in enumerate(present):
        for other in present[index + 1 :]:
            if _same(parts[one], parts[other]):
                raise DataError(
                    f"{one} and {other} hold the same {len(parts[one])} pictures, as when one S3 "
                    "prefix is given to two channels: give each its own pictures, or give `train` "
                    "alone, which is then split"
                )
