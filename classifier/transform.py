"""From an upright RGB picture to what the network takes: the same at evaluation and serving."""

import functools
from typing import Literal

import torch
from PIL import Image
from pydantic import BaseModel, ConfigDict, PositiveFloat, PositiveInt, model_validator
from torchvision.transforms import v2

from classifier.images import MAX_PIXELS, decode

Interpolation = Literal["bilinear", "bicubic", "nearest"]
Channels = tuple[float, float, float]


class EvaluationTransform(BaseModel):
    """Shorter side to `resize`, middle `crop` x `crop`, scaled to [0, 1], normalised.

    `mean` and `std` are for red, green, blue in [0, 1].
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    resize: PositiveInt = 256
    crop: PositiveInt = 224
    mean: Channels = (0.485, 0.456, 0.406)
    std: tuple[PositiveFloat, PositiveFloat, PositiveFloat] = (0.229, 0.224, 0.225)
    interpolation: Interpolation = "bilinear"

    @model_validator(mode="after")
    def _crop_fits(self) -> "EvaluationTransform":
        if self.crop > self.resize:
            raise ValueError(f"crop {self.crop} is larger than resize {self.resize}")
        return self

    def read(self, data: bytes, *, max_pixels: int = MAX_PIXELS) -> torch.Tensor:
        """Decode a picture no larger than needed and transform it: float32 [3, crop, crop].

        Raises:
            ImageError: as `classifier.images.decode`.
        """
        return self(decode(data, max_pixels=max_pixels, at_least=self.resize))

    def __call__(self, image: Image.Image) -> torch.Tensor:
        """Return float32 [3, crop, crop]."""
        tensor: torch.Tensor = _compose(self)(image)
        return tensor

    def at_size(self, crop: int) -> "EvaluationTransform":
        """Return the same transform for another input size, the resize in proportion."""
        return self.model_copy(
            update={"crop": crop, "resize": max(crop, round(crop * self.resize / self.crop))}
        )


@functools.lru_cache(maxsize=8)
def _compose(transform: EvaluationTransform) -> v2.Compose:
    return v2.Compose(
        [
            v2.Resize(
                transform.resize, interpolation=v2.InterpolationMode(transform.interpolation)
            ),
            v2.CenterCrop(transform.crop),
            *to_normalised(transform),
        ]
    )


def to_normalised(transform: EvaluationTransform) -> list[v2.Transform]:
    """Return the last steps, which training's random transforms share: PIL to float32."""
    return [
        v2.ToImage(),
        v2.ToDtype(torch.float32, scale=True),
        v2.Normalize(list(transform.mean), list(transform.std)),
    ]
