"""How long a picture takes to decode at most, found from its structure without decoding anything.

A worker decodes what is quick. Everything else, and everything out of the ordinary, goes to the
lane (`serve/lane`), where it can be stopped. So these readers look at a bounded number of segments
and answer "unknown" (infinity) as soon as they see anything unusual.
"""

import math
import re
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass

from pictures.decoding import colours
from pictures.geometry import MAX_RESIZED_PIXELS, CentreCrop
from serve.formats.envelopes import Pixels

# Nanoseconds for each pixel: to decode, convert to RGB and resize. The slowest files that we found,
# rounded up; benchmarks/results/worst-costs.md.
_BASELINE_JPEG, _PROGRESSIVE_JPEG, _PNG, _DEEP_PNG, _WEBP, _GIF, _TIFF, _BMP, _ARRAY = (
    6, 25, 25, 80, 45, 20, 50, 30, 12,
)  # fmt: skip
_RESIZED = 8  # for each pixel after the resize, which can have more than before
_CONVERTED = 15  # to convert it by a colour profile
_PREPARED = 2.5e6  # once, to prepare the profile
_LOOKED_AT = 50  # for each byte of a JPEG where a marker could begin
_ATTEMPTS = 4  # of a JPEG without its end, which is decoded with other bytes after it
_UNKNOWN = math.inf
_SEGMENTS = 300  # of one picture; cameras write about 20
_CHUNKS = 2000  # of a PNG; encoders write one for each 8 KiB
_INFLATED = {b"zTXt", b"iTXt", b"iCCP"}  # each can become 1 MiB
_MAX_INFLATED = 4
_METADATA = 2**17  # bytes of EXIF
_PROFILE = 2**17  # bytes of a colour profile that are looked at; a plain one is smaller
_TABLES = 2**14  # bytes of a JPEG before its first scan; encoders write about 1,000
_TAGS = 100
_PIECES = 2000  # strips or tiles of a TIFF; encoders write one for each 8 KiB
_QUICK_TIFF = {1, 5, 8, 32773, 32946}  # none, LZW, deflate, packed bits, deflate
_QUICK_BMP = (0, 3, 6)  # no compression; Pillow reads runs byte by byte, in Python
_ALONE = {0, 1, *range(0xD0, 0xD9), 0xFF}  # markers of a JPEG that have no length
_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
_SINGLE_TAGS = {256, 257, 259, 322, 323}  # sizes and compression
_MARKER = re.compile(rb"\xff[\x02-\xcf\xd8-\xfe]")  # of a JPEG; others are within a scan


@dataclass(frozen=True)
class _Estimate:
    """What a picture takes: nanoseconds for each pixel.

    Args:
        width: in pixels.
        height: in pixels.
        each: for each of these pixels.
        converted: for each pixel that is converted by a colour profile.
        is_reduced: whether it can be decoded at a fraction of its size, which is converted then.
        once: nanoseconds in addition.
    """

    width: int
    height: int
    each: float
    converted: float = 0
    is_reduced: bool = False
    once: float = 0


_UNUSUAL = _Estimate(0, 0, _UNKNOWN)


def seconds(picture: bytes | Pixels, crop: CentreCrop) -> float:
    """Return the seconds of one core that a picture takes at most; infinity if it is unusual.

    Damaged bytes are unusual: only the decoder can say what is wrong.
    """
    if isinstance(picture, bytes):
        try:
            found = _estimate(picture)
        except (struct.error, IndexError, KeyError):
            return _UNKNOWN
    else:
        height, width = picture.shape[:2]
        found = _Estimate(width, height, _ARRAY)
    shorter = min(found.width, found.height)
    if shorter < 1 or math.inf in (found.each, found.converted):
        return _UNKNOWN
    pixels = found.width * found.height
    scale = next((one for one in (8, 4, 2) if shorter // crop.resize >= one), 1)
    converted = found.converted / (scale**2 if found.is_reduced else 1)
    resized = min(math.prod(crop.resized((found.width, found.height))), MAX_RESIZED_PIXELS)
    once = found.once + (_PREPARED if converted else 0)
    return (pixels * (found.each + converted) + resized * _RESIZED + once) / 1e9


def _estimate(data: bytes) -> _Estimate:
    for magic, reader in _READERS.items():
        if data.startswith(magic):
            return reader(data)
    # Not a picture that we read: refused by its first bytes.
    return _Estimate(1, 1, 0)


def _by_profile(profile: bytes) -> float:
    """Return the nanoseconds to convert a pixel; infinity for a profile that takes its own time."""
    if not profile:
        return 0
    return _CONVERTED if colours.is_plain(profile) else _UNKNOWN


def _jpeg(data: bytes) -> _Estimate:
    """Walk to the end of the picture. Junk between segments, tables without end: unusual."""
    place, metadata, tables, scans = 2, 0, 0, 0
    width, height, each = 0, 0, _UNKNOWN
    profiles: dict[int, bytes] = {}
    for _ in range(_SEGMENTS):
        if data[place] != 0xFF:
            return _UNUSUAL
        marker = data[place + 1]
        if marker == 0xD9:
            break
        if marker in _ALONE or (marker in _FRAMES and width):  # a second size, or none that counts
            return _UNUSUAL
        (length,) = struct.unpack_from(">H", data, place + 2)
        body = data[place + 4 : place + 2 + length]
        if marker in (0xC0, 0xC1, 0xC2):
            height, width = struct.unpack_from(">HH", body, 1)
            each = _PROGRESSIVE_JPEG if marker == 0xC2 else _BASELINE_JPEG
        elif marker == 0xE1:
            metadata += length
        elif marker == 0xE2 and body.startswith(b"ICC_PROFILE\0") and len(body) > 14:
            profiles[body[12]] = body[14:]
        elif not (0xE1 <= marker <= 0xED or marker in (0xEF, 0xFE)) and not scans:
            tables += length
        place += 2 + length
        if marker == 0xDA:
            scans += 1
            if (found := _MARKER.search(data, place)) is None:
                each *= _ATTEMPTS
                break
            place = found.start()
    else:
        return _UNUSUAL
    if metadata > _METADATA or tables > _TABLES or not scans:
        return _UNUSUAL
    if scans > 1:  # as those of a progressive one, every scan goes through all pixels
        each = max(each, _PROGRESSIVE_JPEG)
    profile = b"".join(part for _, part in sorted(profiles.items()))
    once = _LOOKED_AT * data.count(b"\xff")
    return _Estimate(width, height, each, _by_profile(profile), is_reduced=True, once=once)


def _png(data: bytes) -> _Estimate:
    if data[12:16] != b"IHDR":
        return _UNUSUAL
    place, inflated, metadata = 8, 0, 0
    converted = 0.0
    for _ in range(_CHUNKS):
        if place + 12 > len(data):
            break
        length, name = struct.unpack_from(">I4s", data, place)
        inflated += name in _INFLATED
        metadata += length if name not in (b"IDAT", b"PLTE", b"tEXt") else 0
        if inflated > _MAX_INFLATED or metadata > _METADATA:
            return _UNUSUAL
        if name == b"iCCP":
            converted = max(converted, _by_profile(_inflated(data[place + 8 : place + 8 + length])))
        place += 12 + length
    if place + 12 <= len(data):
        return _UNUSUAL
    each = _DEEP_PNG if data[24] == 16 else _PNG
    width, height = struct.unpack_from(">II", data, 16)
    return _Estimate(width, height, each, converted)


def _inflated(chunk: bytes) -> bytes:
    """Return the profile in a PNG's chunk, cut where it is large; nothing if it is damaged."""
    try:
        return zlib.decompressobj().decompress(chunk.partition(b"\0")[2][1:], _PROFILE)
    except zlib.error:
        return b""


def _webp(data: bytes) -> _Estimate:
    kind = data[12:16]
    if kind == b"VP8L":
        (bits,) = struct.unpack_from("<I", data, 21)
        return _Estimate((bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1, _WEBP)
    if kind == b"VP8 ":
        width, height = struct.unpack_from("<HH", data, 26)
        return _Estimate(width & 0x3FFF, height & 0x3FFF, _WEBP)
    if kind != b"VP8X":
        return _UNUSUAL
    place, converted = 12, 0.0
    for _ in range(_SEGMENTS):
        if place + 8 > len(data):
            width = int.from_bytes(data[24:27], "little") + 1
            height = int.from_bytes(data[27:30], "little") + 1
            return _Estimate(width, height, _WEBP, converted)
        name, length = struct.unpack_from("<4sI", data, place)
        if name == b"ANMF" or (name in (b"EXIF", b"ICCP", b"XMP ") and length > _METADATA):
            break
        if name == b"ICCP":
            converted = max(converted, _by_profile(data[place + 8 : place + 8 + length]))
        place += 8 + length + length % 2
    return _UNUSUAL


def _gif(data: bytes) -> _Estimate:
    """Walk to the first frame, which alone is decoded."""
    width, height = struct.unpack_from("<HH", data, 6)
    place = 13 + (3 << (data[10] & 7) + 1 if data[10] & 0x80 else 0)
    blocks = 0
    while data[place] == 0x21 and blocks < _SEGMENTS:
        first = data[place + 2 : place + 15]
        # Pillow reads on after an empty extension, and after a loop that is not said how often.
        if not first[0] or (first[1:12] == b"NETSCAPE2.0" and not data[place + 3 + first[0]]):
            return _UNUSUAL
        place += 2
        while data[place] and blocks < _SEGMENTS:
            place += 1 + data[place]  # a block of an extension
            blocks += 1
        place += 1
    if data[place] != 0x2C or blocks >= _SEGMENTS:
        return _UNUSUAL
    frame = struct.unpack_from("<HHHH", data, place + 1)
    right, bottom = frame[0] + frame[2], frame[1] + frame[3]
    return _Estimate(max(width, right), max(height, bottom), _GIF)


def _tiff(data: bytes) -> _Estimate:
    order = "<" if data[:1] == b"I" else ">"
    (directory,) = struct.unpack_from(order + "I", data, 4)
    (count,) = struct.unpack_from(order + "H", data, directory)
    if count > _TAGS:
        return _UNUSUAL
    values: dict[int, int] = {}
    values_elsewhere, pieces, converted = 0, 0, 0.0
    for place in range(directory + 2, directory + 2 + 12 * count, 12):
        tag, kind, length, value = struct.unpack_from(order + "HHII", data, place)
        if tag in values or (tag in _SINGLE_TAGS and length != 1):
            return _UNUSUAL
        if kind == 3 and length == 1:
            (value,) = struct.unpack_from(order + "H", data, place + 8)
        values[tag] = value
        values_elsewhere += length
        if tag in (273, 324):
            pieces = max(pieces, length)
        elif tag == 34675:
            converted = max(converted, _by_profile(data[value : value + min(length, _PROFILE)]))
    usual = values.get(259, 1) in _QUICK_TIFF and pieces <= _PIECES
    if not usual or values_elsewhere > _METADATA:
        return _UNUSUAL
    # A tile is decoded as a whole, however much larger than the picture it is.
    width, height = max(values[256], values.get(322, 0)), max(values[257], values.get(323, 0))
    return _Estimate(width, height, _TIFF, converted)


def _bmp(data: bytes) -> _Estimate:
    (header,) = struct.unpack_from("<I", data, 14)
    width, height = struct.unpack_from("<HH" if header == 12 else "<ii", data, 18)
    compression = struct.unpack_from("<I", data, 30)[0] if header >= 40 else 0
    each = _BMP if compression in _QUICK_BMP else _UNKNOWN
    return _Estimate(abs(width), abs(height), each)


_READERS: dict[bytes, Callable[[bytes], _Estimate]] = {
    b"\xff\xd8": _jpeg,
    b"\x89PNG\r\n\x1a\n": _png,
    b"RIFF": _webp,
    b"GIF8": _gif,
    b"II*\0": _tiff,
    b"MM\0*": _tiff,
    b"II+\0": lambda _: _UNUSUAL,  # BigTIFF
    b"MM\0+": lambda _: _UNUSUAL,
    b"BM": _bmp,
}
