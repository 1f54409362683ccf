"""The one image decoder, for training and serving: bytes in, an upright RGB picture out.

The bytes decide what the format is, never a file name or a declared type.
"""

import io
import math
import re
import struct
from dataclasses import dataclass

import numpy as np
from PIL import Image, UnidentifiedImageError
from PIL.TiffImagePlugin import TiffImageFile

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF")
MAX_PIXELS = 2**26  # 67 megapixels: more than a 50-megapixel phone makes
MAX_SCANS = 100  # of a JPEG; libtiff has the same limit. Encoders write 10 to 20.
# Scans x pixels: a decoder of progressive JPEGs goes through all pixels in each scan.
MAX_SCANNED_PIXELS = 16 * MAX_PIXELS
# Memory that decoding takes at most for each pixel of a picture, in bytes. Measured, see
# docs/serving.md: WebP needs it all, for two canvases, a copy and the picture.
BYTES_PER_PIXEL = 16
_TILE = 2**20  # pixels that are converted to RGB at a time

# Formats that people send and that we do not read: (offset, magic bytes, name).
_FOREIGN = (
    (4, b"ftypheic", "HEIC"),
    (4, b"ftypheix", "HEIC"),
    (4, b"ftypmif1", "HEIF"),
    (4, b"ftypavif", "AVIF"),
    (0, b"\xff\x0a", "JPEG XL"),
    (0, b"\x00\x00\x00\x0cJXL ", "JPEG XL"),
    (0, b"\x00\x00\x00\x0cjP  ", "JPEG 2000"),
    (0, b"8BPS", "Photoshop"),
    (0, b"%PDF", "PDF"),
    (0, b"<svg", "SVG"),
)
# Markers that are no data: FF00 is a stuffed byte, FFD0 to FFD7 are restarts.
_MARKER = re.compile(rb"\xff+([\x02-\xcf\xd8-\xfe])")
_TILE_TAGS = (322, 323)  # width and length, in a TIFF
_EOI, _SOS = 0xD9, 0xDA
_ORIENTATION = 0x0112  # the EXIF tag; below, the operation that makes each of its values upright
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class ImageError(ValueError):
    """A picture that cannot be used; the message is written for the person who sent it."""


class UnreadableImage(ImageError):
    """Not a picture, or a damaged one."""


class UnsupportedImage(ImageError):
    """A picture in a format or pixel type that Kennel does not read."""


class OversizeImage(ImageError):
    """More pixels or scans than allowed; found before pixels are decoded."""


@dataclass(frozen=True)
class Cost:
    """What decoding a picture costs at most.

    Args:
        pixels: width x height.
        memory: bytes.
    """

    pixels: int
    memory: int


def cost(data: bytes, *, max_pixels: int = MAX_PIXELS, at_least: int | None = None) -> Cost:
    """Return the cost of `decode` with these arguments, from the header alone.

    Raises:
        UnreadableImage, UnsupportedImage, OversizeImage: as `decode`.
    """
    image = _open(data)
    _check_size(image, max_pixels)
    pixels = math.prod(_decoded_size(image))
    if image.format not in ("JPEG", "MPO"):
        return Cost(pixels, BYTES_PER_PIXEL * pixels)
    coefficients = 8 * pixels if image.info.get("progressive") else 0
    if at_least is not None:
        image.draft(None, (at_least, at_least))
    return Cost(pixels, coefficients + 8 * image.width * image.height)


def decode(
    data: bytes, *, max_pixels: int = MAX_PIXELS, at_least: int | None = None
) -> Image.Image:
    """Decode an encoded picture.

    Reads JPEG, PNG, WebP, BMP, TIFF and GIF (the first frame): greyscale, palette, alpha (on a
    white background), CMYK and 16-bit (the upper eight bits). EXIF orientation is applied.

    Args:
        data: the encoded bytes.
        max_pixels: the largest width x height; checked before any pixel is decoded. Decoding takes
            at most `BYTES_PER_PIXEL` for each.
        at_least: the pixels that the shorter side must have. A JPEG that is two, four or eight
            times as large is decoded at a half, a quarter or an eighth of its size, which saves
            time and memory. None decodes every pixel.

    Returns:
        A loaded image in mode RGB, upright.

    Raises:
        UnreadableImage, UnsupportedImage, OversizeImage: with the reason.
    """
    image = _open(data)
    _check_size(image, max_pixels)
    if image.format in ("JPEG", "MPO"):
        _check_scans(data, image.width * image.height)
    try:
        orientation = _orientation(image)
        if at_least is not None:
            image.draft(None, (at_least, at_least))  # JPEG only; never below this size
        image.load()
        _check_size(image, max_pixels)  # some readers learn the size of a frame from its data
        # Pillow's TIFF reader makes the picture upright itself.
        turn = None if image.format == "TIFF" else _UPRIGHT.get(orientation)
        rgb = _to_rgb(image)
        return rgb if turn is None else rgb.transpose(turn)
    except (ImageError, MemoryError):
        raise
    except Exception as error:  # Pillow's readers raise any exception on a broken file
        raise UnreadableImage(
            f"the {image.format} picture is damaged or cut short ({error}): send it again"
        ) from error


def _open(data: bytes) -> Image.Image:
    """Read the header."""
    if not data:
        raise UnreadableImage("the picture is empty (0 bytes)")
    try:
        return Image.open(io.BytesIO(data), formats=FORMATS)
    except UnidentifiedImageError:
        for offset, magic, name in _FOREIGN:
            if data[offset:].startswith(magic):
                raise UnsupportedImage(
                    f"{name} is not taken: convert it to one of {', '.join(FORMATS)}"
                ) from None
        raise UnreadableImage(
            f"these {len(data):,} bytes are not a picture in one of {', '.join(FORMATS)}"
        ) from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise OversizeImage(f"the picture has too many pixels ({error})") from error
    except MemoryError:
        raise
    except Exception as error:  # a header that confuses a reader
        raise UnreadableImage(f"the picture's header is damaged ({error})") from error


def _decoded_size(image: Image.Image) -> tuple[int, int]:
    """Return width and height of the picture, or of a TIFF's tile if that is larger."""
    sides = [image.width, image.height]
    if isinstance(image, TiffImageFile):
        for place, tag in enumerate(_TILE_TAGS):
            side = image.tag_v2.get(tag)
            sides[place] = max(sides[place], side if isinstance(side, int) else 0)
    return sides[0], sides[1]


def _check_size(image: Image.Image, max_pixels: int) -> None:
    width, height = _decoded_size(image)
    if width * height > max_pixels:
        raise OversizeImage(
            f"the picture is {width} x {height} pixels; at most {max_pixels:,} pixels are taken: "
            "send a smaller one"
        )


def _check_scans(data: bytes, pixels: int) -> None:
    """Count the scans of a JPEG up to its end; a few hundred bytes can hold hundreds."""
    scans, place = 0, 2
    most = min(MAX_SCANS, MAX_SCANNED_PIXELS // max(1, pixels))
    while found := _MARKER.search(data, place):
        marker, place = found[1][0], found.end()
        if marker == _EOI:
            return
        scans += marker == _SOS
        if scans > most:
            raise OversizeImage(
                f"the JPEG has over {most} scans: save it as a baseline JPEG, or a smaller one"
            )
        place += int.from_bytes(data[place : place + 2], "big")


def _orientation(image: Image.Image) -> int:
    """Return the EXIF orientation; 1 (upright) if there is none or it is damaged."""
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    except (ValueError, TypeError, SyntaxError, KeyError, EOFError, OSError, struct.error):
        return 1


def _to_rgb(image: Image.Image) -> Image.Image:
    """Return the picture in RGB; a large one is converted in tiles, which need little memory."""
    if image.mode == "RGB" and "transparency" not in image.info:
        return image._new(image.im)  # the same pixels, without the reader and its buffers
    width, height = image.size
    if width * height <= _TILE:
        return _tile_to_rgb(image)
    columns = min(width, _TILE)
    rows = _TILE // columns
    rgb = Image.new("RGB", image.size)
    for top in range(0, height, rows):
        for left in range(0, width, columns):
            box = (left, top, min(left + columns, width), min(top + rows, height))
            tile = _tile_to_rgb(image.crop(box))
            rgb.paste(tile, (left, top))
    rgb.info = tile.info
    return rgb


def _tile_to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):  # 16-bit greyscale: keep the upper eight bits
        pixels = np.asarray(image)
        if pixels.size and (pixels.min() < 0 or pixels.max() > 0xFFFF):
            raise UnsupportedImage("32-bit pixels are not taken: save it with 8 or 16 bits")
        return Image.fromarray((pixels >> 8).astype(np.uint8)).convert("RGB")
    if image.mode in ("F", "LAB"):
        raise UnsupportedImage(f"pixels of type {image.mode} are not taken: save it as 8-bit RGB")
    if "A" in image.mode or "a" in image.mode or "transparency" in image.info:
        layer = image.convert("RGBA")
        white = Image.new("RGBA", layer.size, "white")
        return Image.alpha_composite(white, layer).convert("RGB")
    return image.convert("RGB")
