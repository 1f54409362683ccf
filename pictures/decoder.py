"""The one image decoder, for training and serving: bytes in, an upright RGB picture out.

The bytes decide what the format is, never a file name or a declared type.
"""

import io
import struct

import numpy as np
from PIL import Image, UnidentifiedImageError

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF")
MAX_PIXELS = 2**26  # 67 megapixels: more than a 50-megapixel phone makes; 200 MB as RGB

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
    """More pixels than allowed; the header says so."""


def decode(
    data: bytes, *, max_pixels: int = MAX_PIXELS, at_least: int | None = None
) -> Image.Image:
    """Decode an encoded picture.

    Reads JPEG, PNG, WebP, BMP, TIFF and GIF (the first frame): greyscale, palette, alpha (on a
    white background), CMYK and 16-bit (the upper eight bits). EXIF orientation is applied.

    Args:
        data: the encoded bytes.
        max_pixels: the largest width x height; checked before any pixel is decoded.
        at_least: the pixels that the shorter side must have. A JPEG that is two, four or eight
            times as large is decoded at a half, a quarter or an eighth of its size, which saves
            time and memory. None decodes every pixel.

    Returns:
        A loaded image in mode RGB, upright.

    Raises:
        UnreadableImage, UnsupportedImage, OversizeImage: with the reason.
    """
    image = _open(data)
    width, height = image.size
    if width * height > max_pixels:
        raise OversizeImage(
            f"the picture is {width} x {height} pixels; at most {max_pixels:,} pixels are taken: "
            "send a smaller one"
        )
    try:
        orientation = _orientation(image)
        if at_least is not None:
            image.draft(None, (at_least, at_least))  # JPEG only; never below this size
        image.load()
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


def _orientation(image: Image.Image) -> int:
    """Return the EXIF orientation; 1 (upright) if there is none or it is damaged."""
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    except (ValueError, TypeError, SyntaxError, KeyError, EOFError, OSError, struct.error):
        return 1


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):  # 16-bit greyscale: keep the upper eight bits
        pixels = np.asarray(image).astype(np.int64)
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
