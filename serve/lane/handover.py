"""What the lane and the workers leave for each other, in a private folder of the server.

A worker announces the crop that a model needs; the lane leaves the pixels of a request.
"""

import json
import os
import re
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from pictures.geometry import CentreCrop
from serve.errors import RequestError
from serve.formats.envelopes import Pixels
from serve.front.files import write_whole

# Set by the supervisor for the workers and the lane: the folder.
FOLDER_VARIABLE = "KENNEL_LANE"
SOCKET = "lane.sock"
MODEL = "model"  # the name of the only model, without SAGEMAKER_MULTI_MODEL
_NAME = re.compile(r"[0-9a-f]{32}")


def folder() -> Path | None:
    """Return the folder; None for a worker without a lane, which decodes everything itself."""
    given = os.environ.get(FOLDER_VARIABLE)
    return Path(given) if given else None


def announce(name: str, crop: CentreCrop) -> None:
    """Record the crop of the model `name`: only letters, digits, `.`, `_`, `-`."""
    if (place := folder()) is not None:
        write_whole(_announced(place, name), json.dumps(asdict(crop)))


def withdraw(name: str) -> None:
    """Forget a model."""
    if (place := folder()) is not None:
        _announced(place, name).unlink(missing_ok=True)


def crop_of(place: Path, name: str) -> CentreCrop | None:
    """Return the crop of a model; None if it is not loaded."""
    try:
        return CentreCrop(**json.loads(_announced(place, name).read_text()))
    except FileNotFoundError:
        return None


def _announced(place: Path, name: str) -> Path:
    return place / f"crop-{name}.json"  # the prefix keeps `..` and dots harmless


@dataclass(frozen=True)
class Decoded:
    """The pictures of a request.

    Args:
        pixels: uint8 [N, crop, crop, 3].
        is_list: whether the answer is a list.
        parameters: the options in the body.
        errors: the bad lines of JSON Lines, by their index among all lines.
    """

    pixels: Pixels
    is_list: bool
    parameters: Mapping[str, object]
    errors: Mapping[int, RequestError] = field(default_factory=dict)


def new_name() -> str:
    """Return the name of a file that nobody can guess."""
    return secrets.token_hex(16)


def remove_left_over(place: Path) -> None:
    """Remove the pixels of a lane that was killed."""
    for path in place.iterdir():
        if _NAME.fullmatch(path.name):
            path.unlink(missing_ok=True)


def write(path: Path, decoded: Decoded) -> None:
    """Write the pictures: one line of JSON, then the pixels."""
    about = {
        "shape": decoded.pixels.shape,
        "is_list": decoded.is_list,
        "parameters": decoded.parameters,
        "errors": {n: [one.code, one.message, one.hint] for n, one in decoded.errors.items()},
    }
    with path.open("xb") as file:
        file.write(json.dumps(about).encode() + b"\n")
        file.write(np.ascontiguousarray(decoded.pixels).data)


def read(name: str) -> Decoded:
    """Return the pictures that the lane wrote.

    Raises:
        ValueError: `name` is no name of ours.
        OSError: the file is not there.
    """
    place = folder()
    if place is None or not _NAME.fullmatch(name):
        raise ValueError("no pixels of the lane")
    with (place / name).open("rb") as file:
        about = json.loads(file.readline())
        pixels = np.frombuffer(bytearray(file.read()), np.uint8).reshape(about["shape"])
    errors = {int(index): RequestError(*error) for index, error in about["errors"].items()}
    return Decoded(pixels, about["is_list"], about["parameters"], errors)
