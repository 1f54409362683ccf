"""From an upright RGB picture to the network's input, the same in evaluation and serving."""

import torch
from PIL import Image
from pydantic import BaseModel, ConfigDict, PositiveFloat, PositiveInt, model_validator
from torchvision.transforms.v2 import functional as F

from pictures.decoder import MAX_PIXELS, decode
from pictures.geometry import CentreCrop, Interpolation

Channels = tuple[float, float, float]


class EvaluationTransform(BaseModel):
    """Resize the shorter side to `resize`, crop the centre `crop` x `crop`, scale, normalise.

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
        """Decode a picture, no larger than needed, and transform it: float32 [3, crop, crop].

        Raises:
            ImageError: as `pictures.decoder.decode`.
        """
        return self(decode(data, max_pixels=max_pixels, at_least=self.resize))

    def __call__(self, image: Image.Image) -> torch.Tensor:
        """Return float32 [3, crop, crop]."""
        return self.normalise(self.pixels(image))

    @property
    def at_least(self) -> int:
        """Pixels that the shorter side of a decoded picture must have."""
        return self.resize

    def pixels(self, image: Image.Image) -> torch.Tensor:
        """Return uint8 [3, crop, crop]: the first half of the transform, for one picture."""
        tensor: torch.Tensor = F.pil_to_tensor(self.resize_and_crop(image))
        return tensor

    def resize_and_crop(self, image: Image.Image) -> Image.Image:
        """Return the centre, crop x crop; takes less than 70 MiB, whatever the shape."""
        return self.geometry(image)

    @property
    def geometry(self) -> CentreCrop:
        """The resize and the crop."""
        return CentreCrop(self.resize, self.crop, self.interpolation)

    def normalise(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return float32 of uint8 [..., 3, H, W]: the second half, for a picture or a batch.

        The numbers are the same for both, and the memory layout is kept.
        """
        scaled = F.to_dtype(pixels, torch.float32, scale=True)
        normalised: torch.Tensor = F.normalize(scaled, list(self.mean), list(self.std))
        return normalised

    def at_size(self, crop: int) -> "EvaluationTransform":
        """Return the same transform for another input size; the resize changes in proportion."""
        return self.model_copy(
            update={"crop": crop, "resize": max(crop, round(crop * self.resize / self.crop))}
        )
