"""Colour profiles: pixels of another colour space become sRGB, through LittleCMS.

A photo of a phone or a camera in Display P3 or Adobe RGB looks paler without. Most profiles are
sRGB's own, in one of its many versions: they are recognised by what they do, and cost nothing.
"""

import functools
import io
import struct

import numpy as np
from PIL import Image, ImageCms

# Levels of 255 by which a profile may move a colour and still count as sRGB: versions of sRGB
# differ by rounding.
_SAME = 3
_SPACES = {b"RGB ": "RGB", b"GRAY": "L", b"CMYK": "CMYK"}
_SIGNATURE = b"acsp"
_TAGS = 100  # of a profile; LittleCMS reads no more
_PLAIN_SIZE = 2**16  # bytes; Display P3 has 536, the largest sRGB 3,144
# Profiles of other classes are more than a matrix and curves: links, abstract ones, named colours.
_PLAIN_CLASSES = (b"mntr", b"scnr", b"spac", b"prtr")


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


def is_plain(data: bytes) -> bool:
    """Return whether a profile costs little: a matrix and curves, as displays have, or damaged.

    Tables of colours, as presses have, are megabytes in memory for a few bytes of a PNG.
    """
    if len(data) < 132 or data[36:40] != _SIGNATURE:
        return True
    try:
        tags = _tags(data)
    except struct.error:
        return False
    tables = any(name[:3] in (b"A2B", b"D2B") for name in tags)
    return len(data) <= _PLAIN_SIZE and data[12:16] in _PLAIN_CLASSES and not tables


def _tags(data: bytes) -> list[bytes]:
    """Return the names of a profile's tags."""
    (count,) = struct.unpack_from(">I", data, 128)
    return [struct.unpack_from("4s", data, 132 + 12 * at)[0] for at in range(min(count, _TAGS))]


def _without_steps(data: bytes) -> bytes:
    """Return a profile whose tags in floats (D2B0 and so on) have names that nobody reads.

    They are lists of steps, which can be the same step 500,000 times: hours for a few kilobytes.
    Every profile has other tags for readers that do not know them. Source: ICC.1:2022, 8.2.
    """
    renamed = bytearray(data)
    for at, name in enumerate(_tags(data)):
        if name.startswith(b"D2B"):
            renamed[132 + 12 * at : 136 + 12 * at] = name.lower()
    return bytes(renamed)


@functools.lru_cache(maxsize=32)
def _profile(data: bytes, mode: str) -> Profile | None:
    """Build the transform; a photographer's pictures have the same profile."""
    try:
        given = ImageCms.ImageCmsProfile(io.BytesIO(_without_steps(data)))
        transform = ImageCms.buildTransform(given, _srgb(), mode, "RGB")
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError, struct.error):
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
