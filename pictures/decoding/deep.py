"""Samples of more than eight bits, and samples that use fewer bits than they have.

One rule for training, checks and serving: of a sample of n bits the upper eight are kept. n is the
format's depth. If the file says that fewer bits are significant (PNG's sBIT) and all its samples
are within them, n is that number. Nothing else is guessed: a 16-bit picture with 12-bit samples
that does not say so is read as it is, nearly black, and a remark names it.
"""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile

from pictures.decoding.errors import UnsupportedImage
from pictures.decoding.source import Source

Box = tuple[int, int, int, int]
Samples = NDArray[np.uint16]
# A picture is named if its brightest sample needs this many bits less than it has: cameras and
# scanners have 10 to 14 of 16.
_FEW = 2


class Deep:
    """A loaded picture whose samples are needed in full: gray, gray with alpha, RGB or RGBA.

    Args:
        image: in a 16-bit mode; RGBA with the bytes of gray and alpha; or the high bytes of RGB.
        low: the low bytes, for RGB and RGBA.
        source: what the file says.
        boxes: yields the picture's tiles.
    """

    def __init__(
        self,
        image: Image.Image,
        low: Image.Image | None,
        source: Source,
        boxes: Callable[[], Iterator[Box]],
    ) -> None:
        self._image, self._low = image, low
        self._clear = source.clear
        self._negative = source.negative
        self.gray = low is None
        first = self._samples(next(boxes()))
        channels = first.shape[-1]
        self._alpha = channels in (2, 4)
        colours = channels - self._alpha
        most = np.max([self._samples(box).max(axis=(0, 1)) for box in boxes()], axis=0).tolist()
        self.bits: tuple[int, ...] = (source.depth,) * channels
        said = source.bits
        self.remark = "" if said else few_bits(max(most[:colours]), source.depth)
        if said and max(most[:colours]) and _all_within(most[:colours], said):
            alpha = said[colours:] if _all_within(most[colours:], said[colours:]) else (16,)
            self.bits = (*said[:colours], *alpha)[:channels]
            self.remark = scaled_by(said)

    def tile(self, box: Box) -> tuple[Image.Image, Image.Image | None]:
        """Return the colours, in mode L or RGB, and the opacity if the picture has any."""
        samples = self._samples(box)
        clear = None
        if self._clear:
            clear = (samples == np.array(self._clear, np.uint16)).all(axis=-1)
        shown = np.stack(
            [_upper(samples[..., one], bits) for one, bits in enumerate(self.bits)], axis=-1
        )
        alpha = shown[..., -1] if self._alpha else None
        if clear is not None:
            alpha = np.where(clear, 0, 255).astype(np.uint8)
        colours = shown[..., 0] if self.gray else shown[..., :3]
        opacity = None if alpha is None else Image.fromarray(np.ascontiguousarray(alpha))
        return Image.fromarray(np.ascontiguousarray(colours)), opacity

    def _samples(self, box: Box) -> Samples:
        """Return a tile's samples, uint16 [height, width, channels]."""
        high = np.asarray(self._image.crop(box))
        if self._low is not None:
            low = np.asarray(self._low.crop(box))
            samples = high.astype(np.uint16)
            samples <<= 8
            samples |= low
            return samples
        if high.ndim == 3:  # the four bytes of gray and alpha
            samples = high[..., ::2].astype(np.uint16)
            samples <<= 8
            samples |= high[..., 1::2]
            return samples
        if high.dtype.itemsize > 2 and high.size and (high.min() < 0 or high.max() > 0xFFFF):
            raise UnsupportedImage("32-bit pixels are not supported: save it with 8 or 16 bits")
        samples = high.astype(np.uint16)[..., None]
        return np.invert(samples) if self._negative else samples


def needs_low_bytes(high: Image.Image, source: Source) -> bool:
    """Whether the high bytes of an RGB picture are not enough to know its upper eight bits."""
    most = [one << 8 for _, one in high.getextrema()[:3]]  # type: ignore[misc]
    return bool(source.clear) or (source.bits != () and _all_within(most, source.bits))


def low_bytes(image: Image.Image) -> Image.Image:
    """Change an opened 16-bit RGB or RGBA picture to give the low byte of each sample."""
    assert isinstance(image, ImageFile.ImageFile)
    image.tile = [tile._replace(args=str(tile.args)[:-1] + "L") for tile in image.tile]
    return image


def both_bytes(image: Image.Image) -> Image.Image:
    """Change an opened 16-bit picture of gray and alpha to give its four bytes as RGBA."""
    assert isinstance(image, ImageFile.ImageFile)
    image.tile = [tile._replace(args="RGBA") for tile in image.tile]
    return image


def few_bits(brightest: int, depth: int) -> str:
    """Return the remark on a picture whose brightest sample is this; empty if it is as usual."""
    if brightest >> depth - _FEW:
        return ""
    return (
        f"its samples use {max(brightest, 1).bit_length()} of {depth} bits and nothing in the file "
        "says so: it is read as it is, nearly black; scale them to all bits"
    )


def stretched(pixels: Image.Image, bits: Sequence[int]) -> Image.Image:
    """Return an 8-bit picture whose channels have these significant bits at full brightness."""
    table: list[int] = []
    for one in bits:
        table += [min(255, value * 255 // ((1 << one) - 1)) for value in range(256)]
    return pixels.point(table)


def scaled_by(bits: Sequence[int]) -> str:
    """Return the remark on a picture that is scaled by its significant bits."""
    named = " and ".join(map(str, sorted(set(bits))))
    return f"its samples are within the {named} bits that it says are significant: scaled by them"


def is_dim(histogram: Sequence[int], bits: Sequence[int]) -> bool:
    """Whether 8-bit colours are not black and keep within fewer significant bits."""
    present = [
        np.flatnonzero(histogram[256 * channel : 256 * (channel + 1)])
        for channel in range(len(bits))
    ]
    most = [int(one[-1]) if len(one) else 0 for one in present]
    return max(most) > 0 and _all_within(most, bits)


def _all_within(most: Sequence[int], bits: Sequence[int]) -> bool:
    return all(one < 1 << size for one, size in zip(most, bits, strict=False))


def _upper(samples: Samples, bits: int) -> NDArray[np.uint8]:
    if bits >= 8:
        return (samples >> (bits - 8)).astype(np.uint8)
    return (samples.astype(np.uint32) * 255 // ((1 << bits) - 1)).astype(np.uint8)
