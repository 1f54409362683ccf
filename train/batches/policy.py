"""A policy of random operations, applied to a whole batch on the device that trains.

Workers draw the operations that torchvision's policies would apply to each picture and return the
picture unchanged. `apply` applies each operation to all pictures of the batch that drew it. Workers
have less to do, and the result for a picture does not depend on its batch.

Sources: Müller and Hutter 2021, "TrivialAugment"; Cubuk et al. 2020, "RandAugment". The arithmetic
is that of torchvision on tensors, which rounds differently from Pillow.
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

from pictures.geometry import Interpolation

Operations = tuple[tuple[str, float], ...]  # of a picture: name and magnitude, in order
Matrix = tuple[tuple[float, float, float], tuple[float, float, float]]


class _Drawing:
    """Records the operations instead of applying them."""

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
    """Draw what torchvision's policy would do to `pixels` [3, H, W], from torch's random state."""
    policy.drawn = []
    policy(pixels)
    return tuple(policy.drawn)


def apply(
    images: torch.Tensor, operations: Sequence[Operations], interpolation: Interpolation
) -> torch.Tensor:
    """Return uint8 images [B, 3, H, W] after their `operations`, without waiting for the device.

    Args:
        images: uint8 [B, 3, H, W]; they are not changed.
        operations: of each image.
        interpolation: of moved pixels; pixels from outside the picture are black.
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


# From a point of the new picture to one of the old, in pixels from the centre [x, y, 1].
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
_MOVED = "moved"  # the key of all operations with a matrix


def _move(images: torch.Tensor, matrices: torch.Tensor, interpolation: str) -> torch.Tensor:
    height, width = images.shape[-2:]
    x = torch.arange(width, device=images.device) - (width - 1) / 2
    y = torch.arange(height, device=images.device)[:, None] - (height - 1) / 2
    m = matrices[..., None, None]
    # Separate products: a matrix product can be TF32, which is wrong by a tenth of a pixel.
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
    inside += (smooth - inside) * -by  # in steps: smooth areas stay equal to the last bit
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
