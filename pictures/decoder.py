"""The one image decoder, for training and serving: bytes in, an upright RGB picture out.

The bytes decide what the format is, never a file name or a declared type.
"""

import io
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from PIL import Image, ImageChops, UnidentifiedImageError

from pictures.decoding import deep, foreign, jpeg, png, tiff
from pictures.decoding.errors import ImageError, OversizeImage, UnreadableImage, UnsupportedImage
from pictures.decoding.jpeg import MAX_PIXELS, MAX_SCANNED_PIXELS, MAX_SCANS
from pictures.decoding.pixels import Converter
from pictures.decoding.source import Source, bounded, orientation

__all__ = [
    "BYTES_PER_PIXEL",
    "FORMATS",
    "MAX_PIXELS",
    "MAX_SCANNED_PIXELS",
    "MAX_SCANS",
    "Cost",
    "Decoded",
    "ImageError",
    "OversizeImage",
    "UnreadableImage",
    "UnsupportedImage",
    "cost",
    "decode",
    "read",
]

FORMATS = foreign.FORMATS
# Memory that decoding takes at most for each pixel of a picture, in bytes. Measured, see
# docs/serving.md: WebP needs it all, for two canvases, a copy and the picture.
BYTES_PER_PIXEL = 16
# The operation that makes each EXIF orientation upright.
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@dataclass(frozen=True)
class Cost:
    """What decoding a picture costs at most.

    Args:
        pixels: width x height.
        memory: bytes.
    """

    pixels: int
    memory: int


@dataclass(frozen=True)
class Decoded:
    """A picture in mode RGB, and what was assumed or passed over to read it, in sentences."""

    image: Image.Image
    remarks: tuple[str, ...]


def cost(data: bytes, *, max_pixels: int = MAX_PIXELS, at_least: int | None = None) -> Cost:
    """Return the cost of `decode` with these arguments, from the header alone.

    Raises:
        UnreadableImage, UnsupportedImage, OversizeImage: as `decode`.
    """
    form, source = _prepare(data)
    image = _open(form, source)
    _check_size(image, source, max_pixels)
    pixels = math.prod(_decoded_size(image, source))
    copy = 0 if source.data is data else len(source.data)
    if form != "JPEG":
        return Cost(pixels, BYTES_PER_PIXEL * pixels + copy)
    coefficients = 8 * pixels if image.info.get("progressive") else 0
    if at_least is not None:
        image.draft(None, (at_least, at_least))
    each = 16 if jpeg.lacks_end(source) else 8
    return Cost(pixels, coefficients + each * image.width * image.height + copy)


def decode(
    data: bytes, *, max_pixels: int = MAX_PIXELS, at_least: int | None = None
) -> Image.Image:
    """Decode an encoded picture; `read` tells what was assumed in addition.

    Reads JPEG, PNG, WebP, BMP, TIFF and GIF (the first frame): greyscale, palette, alpha (on a
    white background), CMYK and 16-bit (the upper eight bits). EXIF orientation is applied, and a
    colour profile is converted to sRGB.

    Args:
        data: the encoded bytes.
        max_pixels: the largest width x height; checked before any pixel is decoded. Decoding takes
            at most `BYTES_PER_PIXEL` for each, and a copy of the data.
        at_least: the pixels that the shorter side must have. A JPEG that is two, four or eight
            times as large is decoded at a half, a quarter or an eighth of its size, which saves
            time and memory. None decodes every pixel.

    Returns:
        A loaded image in mode RGB, upright.

    Raises:
        UnreadableImage, UnsupportedImage, OversizeImage: with the reason.
    """
    return read(data, max_pixels=max_pixels, at_least=at_least).image


def read(data: bytes, *, max_pixels: int = MAX_PIXELS, at_least: int | None = None) -> Decoded:
    """Decode an encoded picture as `decode`, and return it with remarks."""
    form, source = _prepare(data)
    image = _open(form, source)
    _check_size(image, source, max_pixels)
    try:
        both = form == "PNG" and png.is_gray_with_alpha_in_16_bits(source.data)
        if both:
            deep.both_bytes(image)
        image = _loaded(image, at_least)
        _check_size(image, source, max_pixels)  # some readers learn a frame's size from its data
        if jpeg.lacks_end(source):
            _check_complete(image, source, at_least)
        source, image = _facts_of_pillow(form, source, image)
        converter = Converter(image, source, lambda: _low_bytes(form, source), gray_and_alpha=both)
        del image  # Its pixels are freed before the turn makes another copy.
        rgb = converter.to_rgb()
        remarks = (*source.remarks, *converter.remarks)
        del converter
        turn = _UPRIGHT.get(source.orientation)
        return Decoded(rgb if turn is None else rgb.transpose(turn), remarks)
    except (ImageError, MemoryError):
        raise
    except Exception as error:  # Pillow's readers raise any exception on a broken file
        raise UnreadableImage(
            f"the {form} picture is damaged or cut short ({error}): send it again"
        ) from error


def _prepare(data: bytes) -> tuple[str, Source]:
    """Return the format, and what is decoded."""
    form = foreign.format_of(data)
    if form == "JPEG":
        return form, jpeg.source(data)
    if form == "PNG":
        return form, png.source(data)
    if form == "TIFF":
        return form, tiff.source(data)
    return form, Source(data)


def _open(form: str, source: Source) -> Image.Image:
    """Read the header."""
    try:
        return Image.open(io.BytesIO(source.data), formats=(form,))
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        # Pillow's own limit, which is higher than ours.
        found = re.search(r"\d+", str(error))
        size = f" ({int(found[0]):,})" if found else ""
        raise OversizeImage(f"the picture has too many pixels{size}: send a smaller one") from error
    except MemoryError:
        raise
    except UnidentifiedImageError as error:
        raise UnreadableImage(
            f"the {form} picture's header is damaged or cut short: send it again"
        ) from error
    except Exception as error:  # a header that confuses a reader
        raise UnreadableImage(f"the picture's header is damaged ({error})") from error


def _loaded(image: Image.Image, at_least: int | None) -> Image.Image:
    if at_least is not None:
        image.draft(None, (at_least, at_least))  # JPEG only; never below this size
    image.load()
    return image


def _facts_of_pillow(form: str, source: Source, image: Image.Image) -> tuple[Source, Image.Image]:
    """Add what Pillow reads of WebP's metadata; drop the opacity of a BMP that is 0 everywhere."""
    if form == "WEBP":
        profile, remarks = bounded(image.info.get("icc_profile") or b"")
        upright = orientation(image.info.get("exif") or b"")
        source = replace(source, orientation=upright, profile=profile, remarks=remarks)
        image = image._new(image.im)  # the same pixels, without the reader and its two canvases
    # Programs that know no opacity write 0 into the fourth byte of a pixel.
    if form == "BMP" and image.mode == "RGBA" and image.getchannel("A").getextrema() == (0, 0):
        image = image.convert("RGB")
        source = replace(source, remarks=("its opacity is 0 everywhere: it is passed over",))
    return source, image


def _low_bytes(form: str, source: Source) -> Image.Image:
    return _loaded(deep.low_bytes(_open(form, source)), None)


def _check_complete(image: Image.Image, source: Source, at_least: int | None) -> None:
    """Check that a JPEG without its end lacks nothing else."""
    whole = jpeg.has_all_scans(source.data)
    if not whole or any(_differs(image, other) for other in _padded(source, at_least)):
        raise UnreadableImage("the JPEG picture is damaged or cut short: send it again")


def _padded(source: Source, at_least: int | None) -> Iterator[Image.Image]:
    for other in jpeg.padded(source):
        yield _loaded(_open("JPEG", other), at_least)


def _differs(one: Image.Image, other: Image.Image) -> bool:
    return ImageChops.difference(one, other).getbbox() is not None


def _decoded_size(image: Image.Image, source: Source) -> tuple[int, int]:
    """Return width and height of the picture, or of a TIFF's tile if that is larger."""
    if image.format != "TIFF":
        return image.width, image.height
    width, height = tiff.sides(source)
    return max(width, image.width), max(height, image.height)


def _check_size(image: Image.Image, source: Source, max_pixels: int) -> None:
    width, height = _decoded_size(image, source)
    if width * height > max_pixels:
        raise OversizeImage(
            f"the picture is {width} x {height} pixels; at most {max_pixels:,} pixels are taken: "
            "send a smaller one"
        )
