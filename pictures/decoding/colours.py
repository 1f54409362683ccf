"""Colour profiles: pixels of another colour space become sRGB, through LittleCMS.

A photo of a phone or a camera in Display P3 or Adobe RGB looks paler without. Most profiles are
sRGB's own, in one of its many versions: they are recognised by what they do, and cost nothing.
"""

import functools
import io

import numpy as np
from PIL import Image, ImageCms

# Levels of 255 by which a profile may move a colour and still count as sRGB: versions of sRGB
# differ by rounding.
_SAME = 3
_SPACES = {b"RGB ": "RGB", b"GRAY": "L", b"CMYK": "CMYK"}
_SIGNATURE = b"acsp"


class Profile:
    """A picture's profile, as a transform to sRGB.

    Args:
        mode: of the pixels that it takes: RGB, L or CMYK.
        transform: None if it would change nothing.
    """

    def __init__(self, mode: str, transform: ImageCms.ImageCmsTransform | None) -> None:
        self.mode = mode
        self.changes_nothing = transform is None
        self._transform = transform

    def to_srgb(self, pixels: Image.Image) -> Image.Image:
        """Return RGB in sRGB. Gray pixels are taken for equal red, green and blue where needed."""
        if self._transform is None:
            return pixels.convert("RGB")
        if pixels.mode != self.mode:
            pixels = pixels.convert(self.mode)
        return self._transform.apply(pixels)


def fitting(data: bytes, mode: str) -> Profile | None:
    """Return the profile for pixels of a mode; None if it is damaged or for other pixels.

    Args:
        data: the ICC profile.
        mode: L, RGB or CMYK.
    """
    if len(data) < 132 or data[36:40] != _SIGNATURE:
        return None
    space = _SPACES.get(data[16:20])
    if space is None or (space != mode and not (space == "RGB" and mode == "L")):
        return None
    return _profile(data, space)


@functools.lru_cache(maxsize=32)
def _profile(data: bytes, mode: str) -> Profile | None:
    """Build the transform; a photographer's pictures have the same profile."""
    try:
        transform = ImageCms.buildTransform(
            ImageCms.ImageCmsProfile(io.BytesIO(data)), _srgb(), mode, "RGB"
        )
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return None
    profile = Profile(mode, transform)
    if mode == "CMYK":
        return profile
    probe = _probe(mode)
    moved = np.asarray(profile.to_srgb(probe)).astype(int) - np.asarray(probe.convert("RGB"))
    return Profile(mode, None) if np.abs(moved).max() <= _SAME else profile


@functools.cache
def _srgb() -> ImageCms.ImageCmsProfile:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))


@functools.cache
def _probe(mode: str) -> Image.Image:
    """Return a picture of all grays, or of 729 colours."""
    steps = np.linspace(0, 255, 256 if mode == "L" else 9).round().astype(np.uint8)
    if mode == "L":
        return Image.fromarray(steps[None])
    grid = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(27, 27, 3)
    return Image.fromarray(grid)
