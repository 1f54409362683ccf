"""From an upright RGB picture to the network's input, the same in evaluation and serving.

In numpy, for servers without torch. Training normalises batches of tensors on its device, with
torchvision (`train/batches/batch.py`); the numbers are the same to the last bit.
"""

import numpy as np
import numpy.typing as npt
from PIL import Image
from pydantic import BaseModel, ConfigDict, PositiveFloat, PositiveInt, model_validator

from pictures.decoder import MAX_PIXELS, decode
from pictures.geometry import CentreCrop, Interpolation

Channels = tuple[float, float, float]
Floats = npt.NDArray[np.float32]
Pixels = npt.NDArray[np.uint8]


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

    def read(self, data: bytes, *, max_pixels: int = MAX_PIXELS) -> Floats:
        """Decode a picture, no larger than needed, and transform it: float32 [3, crop, crop].

        Raises:
            ImageError: as `pictures.decoder.decode`.
        """
        return self(decode(data, max_pixels=max_pixels, at_least=self.resize))

    def __call__(self, image: Image.Image) -> Floats:
        """Return float32 [3, crop, crop]."""
        return self.normalise(self.pixels(image))

    @property
    def at_least(self) -> int:
        """Pixels that the shorter side of a decoded picture must have."""
        return self.resize

    def pixels(self, image: Image.Image) -> Pixels:
        """Return uint8 [crop, crop, 3]: the first half of the transform, for one picture."""
        return np.array(self.resize_and_crop(image))

    def resize_and_crop(self, image: Image.Image) -> Image.Image:
        """Return the centre, crop x crop; takes less than 70 MiB, whatever the shape."""
        return self.geometry(image)

    @property
    def geometry(self) -> CentreCrop:
        """The resize and the crop."""
        return CentreCrop(self.resize, self.crop, self.interpolation)

    def normalise(self, pixels: Pixels) -> Floats:
        """Return float32 [..., 3, H, W] of uint8 [..., H, W, 3]: the second half of the transform.

        Source: the operations of torchvision's to_dtype and normalize, in their order.
        """
        values = np.moveaxis(pixels, -1, -3).astype(np.float32, order="C")
        values *= np.float32(1.0 / 255)
        values -= np.array(self.mean, np.float32)[:, None, None]
        values /= np.array(self.std, np.float32)[:, None, None]
        return values

    def at_size(self, crop: int) -> "EvaluationTransform":
        """Return the same transform for another input size; the resize changes in proportion."""
        return self.model_copy(
            update={"crop": crop, "resize": max(crop, round(crop * self.resize / self.crop))}
        )
