"""Near copies: pictures that look the same, by a hash that survives scaling and compression."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from typing import Any

# Two pictures look alike if their 64-bit perceptual hashes differ in at most so many bits.
ALIKE = 4
# Shorter side in pixels below which no hash is computed: a hash shrinks pictures to 32 pixels, so
# that small icons and digits would all look alike.
HASHED_FROM = 64


def available() -> bool:
    """Whether the imagehash package is there."""
    return find_spec("imagehash") is not None


def perceptual_hash(picture: Any) -> int | None:
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


def groups(hashes: Sequence[int]) -> Iterator[tuple[int, ...]]:
    """Groups of places whose hashes differ in at most ALIKE bits, joined through their neighbours.

    Two 64-bit numbers that differ in at most 4 bits agree in at least one of five parts: only
    pictures that share a part are compared.
    """
    leader = list(range(len(hashes)))

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
    found: dict[int, list[int]] = defaultdict(list)
    for place in range(len(hashes)):
        found[lead(place)].append(place)
    yield from (tuple(group) for group in found.values() if len(group) > 1)
