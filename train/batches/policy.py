"""A policy of random operations for a batch at once, on the device that trains.

Workers draw what torchvision's own policies would do to each picture, and leave the picture as it
is; `apply` does it to the batch, each operation to all pictures that it fell to. So a worker has
less to do, and a picture comes out the same whatever the batch it is in.

Sources: Müller and Hutter 2021, "TrivialAugment"; Cubuk et al. 2020, "RandAugment". The arithmetic
is torchvision's on tensors, which rounds otherwise than Pillow's.
"""

import itertools
import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F

from classifier.transform import Interpolation

Operations = tuple[tuple[str, float], ...]  # of a picture: name and magnitude, in order
Matrix = tuple[tuple[float, float, float], tuple[float, float, float]]


class _Drawing:
    """Notes what would be done to a picture, in place of doing it."""

    drawn: list[tuple[str, float]]

    def _apply_image_or_video_transform(
        self, image: torch.Tensor, transform_id: str, magnitude: float, *_: Any, **__: Any
    ) -> torch.Tensor:
        self.drawn.append((transform_id, magnitude))
        return image


class TrivialAugment(_Drawing, v2.TrivialAugmentWide):  # type: ignore[misc]
    """Draws one operation and its magnitude."""


class RandAugment(_Drawing, v2.RandAugment):  # type: ignore[misc]
    """Draws two operations."""


Policy = TrivialAugment | RandAugment
ON_DEVICE: dict[str, type[Policy]] = {
    "trivialaugment": TrivialAugment,
    "randaugment": RandAugment,
}
ON_WORKERS = {"trivialaugment": v2.TrivialAugmentWide, "randaugment": v2.RandAugment}


def draw(policy: Policy, pixels: torch.Tensor) -> Operations:
    """Return what torchvision's policy would do to `pixels` [3, H, W], by torch's random state."""
    policy.drawn = []
    policy(pixels)
    return tuple(policy.drawn)


def apply(
    images: torch.Tensor, operations: Sequence[Operations], interpolation: Interpolation
) -> torch.Tensor:
    """Return uint8 images [B, 3, H, W] after each one's `operations`; the device is not waited for.

    Args:
        images: uint8 [B, 3, H, W], which stay as they are.
        operations: of each image.
        interpolation: between pixels, where they are moved; what comes from outside is black.
    """
    images = images.clone()
    height, width = images.shape[-2:]
    for turn in itertools.zip_longest(*operations):
        places: dict[str, list[int]] = defaultdict(list)
        values: dict[str, list[Any]] = defaultdict(list)
        for place, operation in enumerate(turn):
            name, magnitude = operation or ("Identity", 0.0)
            if name in _MATRICES:
                places[_MOVED].append(place)
                values[_MOVED].append(_MATRICES[name](magnitude, height, width))
            elif name != "Identity":
                places[name].append(place)
                values[name].append(magnitude)
        for name, chosen in places.items():
            index = torch.tensor(chosen).to(images.device, non_blocking=True)
            given = torch.tensor(values[name]).to(images.device, non_blocking=True)
            some = images[index]
            if name == _MOVED:
                changed = _move(some, given, interpolation)
            else:
                changed = _COLOURS[name](some, given[:, None, None, None])
            images[index] = changed
    return images


# Of a point of the picture after to the one before, in pixels from the middle [x, y, 1].
_MATRICES: dict[str, Callable[[float, int, int], Matrix]] = {
    "ShearX": lambda by, height, _: ((1, by, by * height / 2), (0, 1, 0)),
    "ShearY": lambda by, _, width: ((1, 0, 0), (by, 1, by * width / 2)),
    "TranslateX": lambda by, *_: ((1, 0, -int(by)), (0, 1, 0)),
    "TranslateY": lambda by, *_: ((1, 0, 0), (0, 1, -int(by))),
    "Rotate": lambda by, *_: (
        (math.cos(math.radians(by)), -math.sin(math.radians(by)), 0),
        (math.sin(math.radians(by)), math.cos(math.radians(by)), 0),
    ),
}
_MOVED = "moved"  # by any of them, at once


def _move(images: torch.Tensor, matrices: torch.Tensor, interpolation: str) -> torch.Tensor:
    height, width = images.shape[-2:]
    x = torch.arange(width, device=images.device) - (width - 1) / 2
    y = torch.arange(height, device=images.device)[:, None] - (height - 1) / 2
    m = matrices[..., None, None]
    # Products one by one: a matrix product may be TF32, which is a tenth of a pixel off.
    grid = torch.stack(
        [
            (m[:, 0, 0] * x + m[:, 0, 1] * y + m[:, 0, 2]) / (width / 2),
            (m[:, 1, 0] * x + m[:, 1, 1] * y + m[:, 1, 2]) / (height / 2),
        ],
        dim=-1,
    )
    moved = nn.functional.grid_sample(
        images.float(), grid, mode=interpolation, padding_mode="zeros", align_corners=False
    )
    return _cut(moved.round())


def _brightness(images: torch.Tensor, by: torch.Tensor) -> torch.Tensor:
    return _cut(images * (1 + by))


def _colour(images: torch.Tensor, by: torch.Tensor) -> torch.Tensor:
    return _blend(images, _grey(images), 1 + by)


def _contrast(images: torch.Tensor, by: torch.Tensor) -> torch.Tensor:
    return _blend(images, _grey(images).mean(dim=(1, 2, 3), keepdim=True), 1 + by)


def _sharpness(images: torch.Tensor, by: torch.Tensor) -> torch.Tensor:
    before = images.float()
    kernel = torch.full((3, 1, 3, 3), 1 / 13, device=images.device)
    kernel[:, :, 1, 1] = 5 / 13
    smooth = nn.functional.conv2d(before, kernel, groups=3).round()
    inside = before[..., 1:-1, 1:-1]
    inside += (smooth - inside) * -by  # by steps: what is smooth already stays, to the last bit
    return _cut(before)


def _posterize(images: torch.Tensor, bits: torch.Tensor) -> torch.Tensor:
    lost = (8 - bits.int()).to(torch.uint8)
    return images >> lost << lost


def _solarize(images: torch.Tensor, by: torch.Tensor) -> torch.Tensor:
    return torch.where(images >= 255 * by, 255 - images, images)


def _grey(images: torch.Tensor) -> torch.Tensor:
    red, green, blue = images.float().unbind(dim=1)
    return (0.2989 * red + 0.587 * green + 0.114 * blue).floor()[:, None]


def _blend(images: torch.Tensor, others: torch.Tensor, share: torch.Tensor) -> torch.Tensor:
    return _cut(images * share + others * (1 - share))


def _cut(values: torch.Tensor) -> torch.Tensor:
    return values.clamp(0, 255).to(torch.uint8)


_COLOURS: dict[str, Callable[[torch.Tensor, torch.Tensor], torch.Tensor]] = {
    "Brightness": _brightness,
    "Color": _colour,
    "Contrast": _contrast,
    "Sharpness": _sharpness,
    "Posterize": _posterize,
    "Solarize": _solarize,
    "AutoContrast": lambda images, _: F.autocontrast(images),
    "Equalize": lambda images, _: F.equalize(images),
}
