"""Validation and test pictures taken from the training pictures, by a hash of each one's name.

A picture's part depends on its own name, its class and `split_seed` alone. So a picture or a class
that is added, or removed, moves no other picture. The price: a part gets about its share of a
class's pictures, not exactly.

Only a class that is too small has help: where the hashes leave a part without a picture, it gets
the one whose hash is nearest. When pictures are added to such a class, that one can move again.
"""

import hashlib
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence

from pictures.picture import Picture

# A class needs so many pictures to have one in each part: train comes first, then valid, then test.
_NEEDS = {"valid": 2, "test": 3}


def split(
    pictures: Sequence[Picture],
    folders: Sequence[str],
    shares: Mapping[str, float],
    split_seed: int,
    *,
    together: Sequence[Sequence[Picture]] = (),
    tested: Collection[Picture] = (),
) -> tuple[tuple[Picture, ...], dict[str, tuple[Picture, ...]]]:
    """Return the training pictures that remain, and the pictures of each new part.

    Every class keeps at least one picture for training.

    Args:
        pictures: all training pictures, in the order that the parts keep.
        folders: the names of the classes' folders; a picture's label is an index into them.
        shares: the fraction of the pictures that each new part gets: `valid`, or both `valid` and
            `test`.
        split_seed: another one gives another split.
        together: groups of pictures that stay in one part, such as copies; others do not count.
        tested: pictures that go to `test` whatever their hash says, such as those that a bundle was
            tested with.
    """
    place = {id(picture): index for index, picture in enumerate(pictures)}
    forced = {place[id(one)] for one in tested if id(one) in place} if "test" in shares else set()
    by_class: dict[int, list[tuple[float, list[int]]]] = defaultdict(list)
    parts: dict[str, list[int]] = {"train": [], **{name: [] for name in shares}}
    groups = [[place[id(one)] for one in group if id(one) in place] for group in together]
    for unit in _units(pictures, groups):
        if forced.intersection(unit):
            parts["test"] += unit
            continue
        first = _original([pictures[index] for index in unit])
        drawn = draw(split_seed, folders[first.label], first.own_name)
        by_class[first.label].append((drawn, unit))
    for own in by_class.values():
        own.sort(key=lambda one: one[0])
        test, valid = _counts([drawn for drawn, _ in own], shares)
        cuts = {"test": own[:test], "train": own[test : len(own) - valid]}
        cuts["valid"] = own[len(own) - valid :]
        for name, cut in cuts.items():
            for _, unit in cut:
                parts[name] += unit
    found = {name: tuple(pictures[at] for at in sorted(part)) for name, part in parts.items()}
    return found.pop("train"), found


def draw(split_seed: int, folder: str, name: str) -> float:
    """Return a picture's number from 0 to 1: test is below, valid above, train between."""
    text = f"{split_seed}\0{folder}\0{name}".encode(errors="surrogateescape")
    return int.from_bytes(hashlib.blake2b(text, digest_size=7).digest()) / 2**56


def _counts(drawn: Sequence[float], shares: Mapping[str, float]) -> tuple[int, int]:
    """Return how many of a class's sorted numbers are for test, from below, and for valid."""
    total = len(drawn)
    counts = {
        "test": sum(number < shares.get("test", 0) for number in drawn),
        "valid": sum(number >= 1 - shares["valid"] for number in drawn),
    }
    for name, needs in _NEEDS.items():
        if not shares.get(name) or total < needs - (name == "test" and not shares["valid"]):
            counts[name] = 0
        else:
            counts[name] = max(1, counts[name])
    while total and counts["test"] + counts["valid"] >= total:
        most = max(counts, key=lambda name: counts[name])
        counts[most] -= 1
    return counts["test"], counts["valid"]


def _units(pictures: Sequence[Picture], together: Sequence[Sequence[int]]) -> list[list[int]]:
    """Return the pictures' indices as groups that stay together, most of one picture.

    Args:
        pictures: of all classes; only those of one class stay together.
        together: groups of indices, which can overlap.
    """
    leader = list(range(len(pictures)))

    def lead(one: int) -> int:
        while leader[one] != one:
            leader[one] = leader[leader[one]]
            one = leader[one]
        return one

    for group in together:
        for other in group[1:]:
            if pictures[other].label == pictures[group[0]].label:
                leader[lead(other)] = lead(group[0])
    units: dict[int, list[int]] = defaultdict(list)
    for index in range(len(pictures)):
        units[lead(index)].append(index)
    return list(units.values())


def _original(unit: Sequence[Picture]) -> Picture:
    """Return the picture that speaks for a group: copies have longer names, as in `1 (2).jpg`."""
    if len(unit) == 1:
        return unit[0]
    return min(unit, key=lambda one: (len(one.own_name), one.own_name))
