"""Validation and test pictures taken from the training pictures, class by class, by a seed."""

import random
from collections.abc import Mapping, Sequence
from pathlib import Path

from pictures.picture import Picture


def split(
    pictures: Sequence[Picture], classes: int, shares: Mapping[str, float], seed: int
) -> tuple[tuple[Picture, ...], dict[str, tuple[Picture, ...]]]:
    """Return the training pictures that remain, and the pictures of each new split.

    Every class keeps at least one picture for training.

    Args:
        pictures: all training pictures.
        classes: the number of classes.
        shares: the fraction of each class's pictures that each new split gets.
        seed: of the shuffle within each class.
    """
    remaining: list[Picture] = []
    parts: dict[str, list[Picture]] = {name: [] for name in shares}
    for label in range(classes):
        own = [picture for picture in pictures if picture.label == label]
        random.Random(f"{seed}/{label}").shuffle(own)  # noqa: S311 (a split, not a secret)
        for name, share in shares.items():
            count = min(round(share * len(own)) or (1 if share else 0), max(len(own) - 1, 0))
            parts[name] += own[:count]
            own = own[count:]
        remaining += own
    in_order = {name: tuple(sorted(part, key=_by_path)) for name, part in parts.items()}
    return tuple(sorted(remaining, key=_by_path)), in_order


def _by_path(picture: Picture) -> tuple[int, Path]:
    return picture.label, picture.path
