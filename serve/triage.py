"""How long a picture takes to decode at most, found from its structure without decoding anything.

A worker decodes what is quick. Everything else, and everything out of the ordinary, goes to the
lane (`serve/lane`), where it can be stopped. So these readers look at a bounded number of segments
and answer "unknown" (infinity) as soon as they see anything unusual.
"""

import math
import struct
from collections.abc import Callable

from pictures.geometry import MAX_RESIZED_PIXELS, CentreCrop
from serve.formats.envelopes import Pixels

# Nanoseconds for each pixel: to decode, convert to RGB and resize. The slowest files that we found,
# rounded up; benchmarks/results/worst-costs.md.
_BASELINE_JPEG, _PROGRESSIVE_JPEG, _PNG, _WEBP, _GIF, _TIFF, _BMP, _ARRAY = (
    6, 25, 25, 45, 20, 50, 30, 12,
)  # fmt: skip
_RESIZED = 8  # for each pixel after the resize, which can have more than before
_UNKNOWN = math.inf
_SEGMENTS = 300  # of one picture; cameras write about 20
_CHUNKS = 2000  # of a PNG; encoders write one for each 8 KiB
_INFLATED = {b"zTXt", b"iTXt", b"iCCP"}  # each can become 1 MiB
_MAX_INFLATED = 4
_METADATA = 2**17  # bytes of EXIF
_TAGS = 100
_QUICK_TIFF = {1, 5, 7, 8, 32773, 32946}  # none, LZW, JPEG, deflate, packed bits, deflate

Estimate = tuple[int, int, float]  # width, height, nanoseconds for each pixel


def seconds(picture: bytes | Pixels, crop: CentreCrop) -> float:
    """Return the seconds of one core that a picture takes at most; infinity if it is unusual.

    Damaged bytes are unusual: only the decoder can say what is wrong.
    """
    if isinstance(picture, bytes):
        try:
            width, height, each = _estimate(picture)
        except (struct.error, IndexError, KeyError):
            return _UNKNOWN
    else:
        height, width, each = *picture.shape[:2], _ARRAY
    if min(width, height) < 1:
        return _UNKNOWN
    resized = min(math.prod(crop.resized((width, height))), MAX_RESIZED_PIXELS)
    return (width * height * each + resized * _RESIZED) / 1e9


def _estimate(data: bytes) -> Estimate:
    for magic, reader in _READERS.items():
        if data.startswith(magic):
            return reader(data)
    # Not a picture that we read: refused by its first bytes.
    return 1, 1, 0.0


def _jpeg(data: bytes) -> Estimate:
    """Walk to the first scan. Junk between segments, tables without end: unusual."""
    place, metadata = 2, 0
    size, each = (0, 0), _UNKNOWN
    for _ in range(_SEGMENTS):
        if data[place] != 0xFF:
            return 0, 0, _UNKNOWN
        marker, (length,) = data[place + 1], struct.unpack_from(">H", data, place + 2)
        if marker in (0xC0, 0xC1, 0xC2):
            height, width = struct.unpack_from(">HH", data, place + 5)
            size, each = (width, height), _PROGRESSIVE_JPEG if marker == 0xC2 else _BASELINE_JPEG
        elif marker == 0xDA:
            return *size, each if metadata <= _METADATA else _UNKNOWN
        elif marker == 0xE1:
            metadata += length
        place += 2 + length
    return 0, 0, _UNKNOWN


def _png(data: bytes) -> Estimate:
    place, inflated, metadata = 8, 0, 0
    for _ in range(_CHUNKS):
        if place + 12 > len(data):
            break
        length, name = struct.unpack_from(">I4s", data, place)
        inflated += name in _INFLATED
        metadata += length if name not in (b"IDAT", b"PLTE", b"tEXt") else 0
        place += 12 + length
    if place + 12 <= len(data) or inflated > _MAX_INFLATED or metadata > _METADATA:
        return 0, 0, _UNKNOWN
    return *struct.unpack_from(">II", data, 16), _PNG


def _webp(data: bytes) -> Estimate:
    kind = data[12:16]
    if kind == b"VP8L":
        (bits,) = struct.unpack_from("<I", data, 21)
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1, _WEBP
    if kind == b"VP8 ":
        width, height = struct.unpack_from("<HH", data, 26)
        return width & 0x3FFF, height & 0x3FFF, _WEBP
    if kind != b"VP8X":
        return 0, 0, _UNKNOWN
    place = 12
    for _ in range(_SEGMENTS):
        if place + 8 > len(data):
            width = int.from_bytes(data[24:27], "little") + 1
            return width, int.from_bytes(data[27:30], "little") + 1, _WEBP
        name, length = struct.unpack_from("<4sI", data, place)
        if name == b"ANMF" or (name in (b"EXIF", b"ICCP", b"XMP ") and length > _METADATA):
            break
        place += 8 + length + length % 2
    return 0, 0, _UNKNOWN


def _gif(data: bytes) -> Estimate:
    """Walk to the first frame, which alone is decoded."""
    width, height = struct.unpack_from("<HH", data, 6)
    place = 13 + (3 << (data[10] & 7) + 1 if data[10] & 0x80 else 0)
    for _ in range(_SEGMENTS):
        if data[place] == 0x2C:
            frame = struct.unpack_from("<HHHH", data, place + 1)
            return max(width, frame[0] + frame[2]), max(height, frame[1] + frame[3]), _GIF
        if data[place] == 0x21 and data[place + 1] in (0xF9, 0xFE, 0xFF, 0x01):
            place += 2
        elif data[place] == 0:  # the end of an extension
            place += 1
            continue
        place += 1 + data[place]  # a block of an extension
    return 0, 0, _UNKNOWN


def _tiff(data: bytes) -> Estimate:
    order = "<" if data[:1] == b"I" else ">"
    (directory,) = struct.unpack_from(order + "I", data, 4)
    (count,) = struct.unpack_from(order + "H", data, directory)
    if count > _TAGS:
        return 0, 0, _UNKNOWN
    values: dict[int, int] = {}
    values_elsewhere = 0
    for place in range(directory + 2, directory + 2 + 12 * count, 12):
        tag, kind, length, value = struct.unpack_from(order + "HHII", data, place)
        if kind == 3 and length == 1:
            (value,) = struct.unpack_from(order + "H", data, place + 8)
        if length == 1:
            values[tag] = value
        values_elsewhere += length
    if values.get(259, 1) not in _QUICK_TIFF or values_elsewhere > _METADATA:
        return 0, 0, _UNKNOWN
    # A tile is decoded as a whole, however much larger than the picture it is.
    return max(values[256], values.get(322, 0)), max(values[257], values.get(323, 0)), _TIFF


def _bmp(data: bytes) -> Estimate:
    (header,) = struct.unpack_from("<I", data, 14)
    width, height = struct.unpack_from("<HH" if header == 12 else "<ii", data, 18)
    return abs(width), abs(height), _BMP


_READERS: dict[bytes, Callable[[bytes], Estimate]] = {
    b"\xff\xd8": _jpeg,
    b"\x89PNG\r\n\x1a\n": _png,
    b"RIFF": _webp,
    b"GIF8": _gif,
    b"II*\0": _tiff,
    b"MM\0*": _tiff,
    b"II+\0": lambda _: (0, 0, _UNKNOWN),  # BigTIFF
    b"MM\0+": lambda _: (0, 0, _UNKNOWN),
    b"BM": _bmp,
}
