"""Resize the shorter side and crop the centre, in bounded memory. Without torch."""

from dataclasses import dataclass
from typing import Literal

from PIL import Image

# A picture that would have more pixels than this after the resize is cropped and resized in one
# step: 64 MiB as Pillow stores it. A strip of 65,000 x 1 would have 4 gigapixels at 256 pixels.
MAX_RESIZED_PIXELS = 2**24

Interpolation = Literal["bilinear", "bicubic", "nearest"]

_RESAMPLING = {
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "nearest": Image.Resampling.NEAREST,
}


@dataclass(frozen=True)
class CentreCrop:
    """From a picture of any size to `crop` x `crop` pixels.

    Args:
        resize: pixels of the shorter side.
        crop: at most `resize`.
        interpolation: of the resize.
    """

    resize: int
    crop: int
    interpolation: Interpolation = "bilinear"

    def resized(self, size: tuple[int, int]) -> tuple[int, int]:
        """Return width and height after the resize of a picture of `size`."""
        shorter = min(size)
        return int(self.resize * size[0] / shorter), int(self.resize * size[1] / shorter)

    def __call__(self, image: Image.Image) -> Image.Image:
        """Return the centre, crop x crop; takes less than 70 MiB, whatever the shape.

        This is torchvision's Resize and CenterCrop for Pillow's images. Above `MAX_RESIZED_PIXELS`,
        only the part that the crop keeps is resized, with the same result up to rounding.
        """
        width, height = self.resized(image.size)
        resampling = _RESAMPLING[self.interpolation]
        left, top = round((width - self.crop) / 2), round((height - self.crop) / 2)
        if width * height <= MAX_RESIZED_PIXELS:
            resized = image
            if (width, height) != image.size:
                resized = image.resize((width, height), resampling)
            return resized.crop((left, top, left + self.crop, top + self.crop))
        across, down = image.width / width, image.height / height  # pixels of the picture for one
        box = (left * across, top * down, (left + self.crop) * across, (top + self.crop) * down)
        return image.resize((self.crop, self.crop), resampling, box)
