"""From a loaded picture in any mode to RGB, in tiles: opacity on white, colours in sRGB."""

from collections.abc import Callable, Iterator

from PIL import Image

from pictures.decoding import colours, deep
from pictures.decoding.colours import Profile
from pictures.decoding.deep import Box, Deep
from pictures.decoding.errors import UnsupportedImage
from pictures.decoding.source import Source

_TILE = 2**20  # pixels that are converted to RGB at a time
CLEAR = "every pixel of it is transparent: it is read as white"


class Converter:
    """Turns the pixels of a loaded picture to RGB.

    Args:
        image: loaded.
        source: what the file says.
        low: opens the picture again with the low bytes of 16-bit RGB.
        gray_and_alpha: the picture is RGBA with the bytes of 16-bit gray and alpha.
    """

    def __init__(
        self,
        image: Image.Image,
        source: Source,
        low: Callable[[], Image.Image],
        *,
        gray_and_alpha: bool = False,
    ) -> None:
        self._image, self._source = image, source
        self._deep: Deep | None = None
        self._stretched = False
        self.remarks: list[str] = []
        self._profile: Profile | None = None
        if image.mode in ("F", "LAB"):
            raise UnsupportedImage(
                f"pixels of type {image.mode} are not supported: save it as 8-bit RGB"
            )
        if image.mode.startswith("I") or gray_and_alpha:
            self._deep = Deep(image, None, source, self._boxes)
        elif source.depth == 16 and deep.needs_low_bytes(image, source):
            self._deep = Deep(image, low(), source, self._boxes)
        elif source.depth == 16 and not source.bits and image.mode in ("RGB", "RGBA"):
            most = max(one for _, one in image.getextrema()[:3])  # type: ignore[misc]
            self._remark(deep.few_bits((most << 8) + 255, 16))
        elif source.bits and source.depth == 8:
            bits = source.bits[: self._colours()]
            self._stretched = deep.is_dim(self._histogram(), bits)
            self._remark(deep.scaled_by(bits) if self._stretched else "")
        if self._deep:
            self._remark(self._deep.remark)
        self._choose_profile()

    def to_rgb(self) -> Image.Image:
        """Return the picture in RGB."""
        image = self._image
        plain = not (self._deep or self._stretched or self._profile)
        if plain and image.mode == "RGB" and "transparency" not in image.info:
            return image._new(image.im)  # the same pixels, without the reader and its buffers
        if image.width * image.height <= _TILE:
            rgb, visible = self._tile((0, 0, *image.size))
        else:
            rgb, visible = Image.new("RGB", image.size), False
            for box in self._boxes():
                tile, seen = self._tile(box)
                rgb.paste(tile, box[:2])
                visible |= seen
        if not visible:
            self._remark(CLEAR)
        rgb.info = {}
        return rgb

    def _boxes(self) -> Iterator[Box]:
        width, height = self._image.size
        columns = min(width, _TILE)
        rows = _TILE // columns
        for top in range(0, height, rows):
            for left in range(0, width, columns):
                yield left, top, min(left + columns, width), min(top + rows, height)

    def _tile(self, box: Box) -> tuple[Image.Image, bool]:
        """Return a tile in RGB, and whether anything in it can be seen."""
        if self._deep:
            pixels, alpha = self._deep.tile(box)
        else:
            pixels, alpha = _apart(self._image.crop(box))
            if self._stretched:
                pixels = deep.stretched(pixels, self._source.bits[: len(pixels.getbands())])
        rgb = self._profile.to_srgb(pixels) if self._profile else pixels.convert("RGB")
        if alpha is None:
            return rgb, True
        rgb.putalpha(alpha)
        white = Image.new("RGBA", rgb.size, "white")
        return Image.alpha_composite(white, rgb).convert("RGB"), alpha.getbbox() is not None

    def _colours(self) -> int:
        return 1 if self._image.mode in ("1", "L", "LA", "La") else 3

    def _histogram(self) -> list[int]:
        """Return the counts of 8-bit samples, 256 for each channel; of a palette, its colours."""
        if self._image.mode != "P":
            return self._image.histogram()
        palette = self._image.getpalette() or []
        counts = [0] * 768
        for place, value in enumerate(palette):
            counts[256 * (place % 3) + value] = 1
        return counts

    def _choose_profile(self) -> None:
        if not self._source.profile:
            return
        gray = self._deep.gray if self._deep else self._colours() == 1
        mode = "CMYK" if self._image.mode == "CMYK" else "L" if gray else "RGB"
        self._profile = colours.fitting(self._source.profile, mode)
        if self._profile is None:
            self._remark("its colour profile is damaged or for other pixels: it is passed over")
        elif self._profile.changes_nothing:
            self._profile = None

    def _remark(self, text: str) -> None:
        if text:
            self.remarks.append(text)


def _apart(tile: Image.Image) -> tuple[Image.Image, Image.Image | None]:
    """Return the colours of 8-bit pixels, in mode L, RGB or CMYK, and their opacity if any."""
    if tile.mode == "La":
        tile = tile.convert("LA")
    if tile.mode in ("LA", "RGBA"):
        return tile.convert(tile.mode[:-1]), tile.getchannel("A")
    if "A" in tile.mode or "a" in tile.mode or "transparency" in tile.info:
        layer = tile.convert("RGBA")
        colours = tile if tile.mode == "L" else layer.convert("RGB")
        colours.info.pop("transparency", None)
        return colours, layer.getchannel("A")
    return tile.convert("L") if tile.mode == "1" else _plain(tile), None


def _plain(tile: Image.Image) -> Image.Image:
    return tile if tile.mode in ("L", "CMYK") else tile.convert("RGB")
