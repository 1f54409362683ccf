"""The pictures that an export is made and judged with, and their way into its process."""

import json
import random
from collections.abc import Sequence
from pathlib import Path

from pictures.picture import Picture
from pictures.shards import Slice

CALIBRATION = 100  # pictures of training, for the ranges of activations
VALIDATION = 1000  # pictures that both networks are compared on


def draw(pictures: Sequence[Picture], most: int) -> list[Picture]:
    """Return at most `most` pictures in random order, the same ones each time."""
    return random.Random(0).sample(list(pictures), min(most, len(pictures)))  # noqa: S311


def of_job(
    train: Sequence[Picture], valid: Sequence[Picture]
) -> tuple[list[Picture], list[Picture]]:
    """Return pictures to calibrate with, and to validate with."""
    return draw(train, CALIBRATION), draw(valid, VALIDATION)


def of_one_folder(pictures: Sequence[Picture]) -> tuple[list[Picture], list[Picture]]:
    """Return pictures to calibrate with and others to validate with, from one set of labelled ones.

    At most half of them calibrate.
    """
    drawn = draw(pictures, CALIBRATION + VALIDATION)
    calibration = min(CALIBRATION, len(drawn) // 2)
    return drawn[:calibration], drawn[calibration:]


def encode(calibration: Sequence[Picture], validation: Sequence[Picture]) -> str:
    """Return both sets as JSON, for `decode` in another process."""
    return json.dumps([[_fields(one) for one in part] for part in (calibration, validation)])


def decode(text: str) -> tuple[list[Picture], list[Picture]]:
    """Return what `encode` was given."""
    calibration, validation = json.loads(text)
    return [_picture(*one) for one in calibration], [_picture(*one) for one in validation]


def _fields(picture: Picture) -> list[object]:
    place = picture.place
    where = [str(place.shard), place.start, place.size, place.crc] if place else None
    return [str(picture.path), picture.label, where]


def _picture(path: str, label: int, where: tuple[str, int, int, int] | None) -> Picture:
    place = Slice(Path(where[0]), *where[1:]) if where else None
    return Picture(Path(path), label, place)
