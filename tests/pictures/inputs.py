"""Inputs that the tests of the decoder make: pictures, PNGs, TIFFs and colour profiles."""

import io
import struct
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[Any]


def encode(image: Image.Image, form: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def scene(height: int = 48, width: int = 64) -> Pixels:
    """Return a smooth colourful picture, uint8 [height, width, 3], that uses all levels."""
    rows, columns = np.mgrid[0:height, 0:width]
    red = columns * 255 // (width - 1)
    green = rows * 255 // (height - 1)
    blue = (columns + rows) * 5 % 256
    return np.stack([red, green, blue], axis=-1).astype(np.uint8)


def difference(image: Image.Image, expected: Pixels) -> int:
    """Return the largest difference of a level."""
    expected = expected[..., None] if expected.ndim == 2 else expected
    return int(np.abs(np.asarray(image).astype(int) - expected).max())


def chunk(kind: bytes, body: bytes, crc: int | None = None) -> bytes:
    crc = zlib.crc32(body, zlib.crc32(kind)) if crc is None else crc
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", crc)


def png(samples: Pixels, colour: int, depth: int, *chunks: bytes) -> bytes:
    """Return a PNG of samples [height, width] or [height, width, channels], without filters."""
    height, width = samples.shape[:2]
    rows = samples.astype(">u2" if depth == 16 else np.uint8).reshape(height, -1)
    lines = b"".join(b"\0" + row.tobytes() for row in rows)
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return b"".join(
        [
            b"\x89PNG\r\n\x1a\n",
            chunk(b"IHDR", header),
            *chunks,
            chunk(b"IDAT", zlib.compress(lines)),
            chunk(b"IEND", b""),
        ]
    )


def tiff(
    strips: Sequence[bytes],
    tags: Mapping[int, Sequence[int]],
    order: str = "<",
    *,
    big: bool = False,
) -> bytes:
    """Return a TIFF with these strips (tags 273 and 279 are added); values are shorts or longs."""
    word, room = ("Q", 8) if big else ("I", 4)
    data = bytearray(16 if big else 8)
    starts = []
    for strip in strips:
        starts.append(len(data))
        data += strip + bytes(len(strip) % 2)
    all_tags = {**tags, 273: starts, 279: [len(strip) for strip in strips]}
    entries = b""
    for tag, values in sorted(all_tags.items()):
        form, kind = ("H", 3) if max(values) < 0x10000 and tag != 273 else ("I", 4)
        if tag == 273 and big:
            form, kind = "Q", 16
        packed = struct.pack(f"{order}{len(values)}{form}", *values)
        if len(packed) > room:
            place = len(data)
            data += packed + bytes(len(packed) % 2)
            packed = struct.pack(order + word, place)
        entries += struct.pack(order + "HH" + word, tag, kind, len(values))
        entries += packed.ljust(room, b"\0")
    start = len(data)
    data += struct.pack(order + ("Q" if big else "H"), len(all_tags)) + entries + bytes(room)
    first = b"II" if order == "<" else b"MM"
    if big:
        data[:16] = first + struct.pack(order + "HHHQ", 43, 8, 0, start)
    else:
        data[:8] = first + struct.pack(order + "HI", 42, start)
    return bytes(data)


def profile(primaries: Sequence[Sequence[float]], gamma: float) -> bytes:
    """Return an ICC profile (version 2) of a display.

    Args:
        primaries: XYZ of red, green and blue, for the white of D50.
        gamma: of all channels.

    Source: ICC.1:2001-04, 6.1 and 6.3.1.
    """

    def xyz(values: Sequence[float]) -> bytes:
        return b"XYZ \0\0\0\0" + b"".join(struct.pack(">i", round(one * 65536)) for one in values)

    curve = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256)) + bytes(2)
    text = b"desc\0\0\0\0" + struct.pack(">I", 5) + b"test\0" + bytes(78) + bytes(1)
    return _profile(
        b"RGB ",
        {
            b"desc": text,
            b"wtpt": xyz((0.9642, 1.0, 0.8249)),
            b"rXYZ": xyz(primaries[0]),
            b"gXYZ": xyz(primaries[1]),
            b"bXYZ": xyz(primaries[2]),
            b"rTRC": curve,
            b"gTRC": curve,
            b"bTRC": curve,
        },
    )


def gray_profile(gamma: float) -> bytes:
    """Return an ICC profile of a gray display."""
    white = b"XYZ \0\0\0\0" + struct.pack(">iii", 63190, 65536, 54061)
    curve = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256)) + bytes(2)
    return _profile(b"GRAY", {b"wtpt": white, b"kTRC": curve})


def press_profile() -> bytes:
    """Return an ICC profile of a press, with gray inks: cyan is half as light as paper, black none.

    Source: ICC.1:2001-04, 6.5.8: an 8-bit table with two points for each ink, in CIELab.
    """
    same = bytes(range(256))
    corners = [
        round(255 * (1 - 0.5 * cyan) * (1 - black))
        for cyan in (0, 1)
        for _magenta in (0, 1)
        for _yellow in (0, 1)
        for black in (0, 1)
    ]
    table = b"".join(bytes([light, 128, 128]) for light in corners)
    identity = struct.pack(">9i", *(65536 * (at % 4 == 0) for at in range(9)))
    lut = b"mft1\0\0\0\0" + bytes([4, 3, 2, 0]) + identity + 4 * same + table + 3 * same
    white = b"XYZ \0\0\0\0" + struct.pack(">iii", 63190, 65536, 54061)
    found = _profile(b"CMYK", {b"wtpt": white, b"A2B0": lut})
    return found[:12] + b"prtr" + found[16:20] + b"Lab " + found[24:]


def _profile(space: bytes, tags: Mapping[bytes, bytes]) -> bytes:
    place = 128 + 4 + 12 * len(tags)
    table, body = struct.pack(">I", len(tags)), b""
    for name, value in tags.items():
        table += name + struct.pack(">II", place + len(body), len(value))
        body += value + bytes(-len(value) % 4)
    size = 128 + len(table) + len(body)
    header = struct.pack(">I4sI4s4s4s", size, b"\0\0\0\0", 0x02400000, b"mntr", space, b"XYZ ")
    header += bytes(12) + b"acsp" + bytes(28) + struct.pack(">iii", 63190, 65536, 54061)
    return header.ljust(128, b"\0") + table + body


# Columns of Display P3 and Adobe RGB (1998), adapted to D50.
DISPLAY_P3 = ((0.51512, 0.2412, -0.00105), (0.29198, 0.69225, 0.04189), (0.1571, 0.06657, 0.78407))
ADOBE_RGB = ((0.60974, 0.31111, 0.01947), (0.20528, 0.62567, 0.06087), (0.14919, 0.06322, 0.74457))


def with_tag(profile: bytes, name: bytes, value: bytes) -> bytes:
    """Return an ICC profile with one more tag."""
    (count,) = struct.unpack_from(">I", profile, 128)
    end = 132 + 12 * count
    tags = [struct.unpack_from(">4sII", profile, 132 + 12 * at) for at in range(count)]
    moved = b"".join(struct.pack(">4sII", tag, start + 12, size) for tag, start, size in tags)
    table = moved + struct.pack(">4sII", name, len(profile) + 12, len(value))
    whole = profile[:128] + struct.pack(">I", count + 1) + table + profile[end:] + value
    return struct.pack(">I", len(whole)) + whole[4:]


def elements(count: int, gain: float = 1.0) -> bytes:
    """Return the tag of an ICC profile in floats: so many steps, which are all the same matrix.

    Source: ICC.1:2022, 10.16 and 10.16.3.
    """
    matrix = [gain * (at % 4 == 0) for at in range(9)] + [0.0] * 3
    step = b"matf\0\0\0\0" + struct.pack(">HH12f", 3, 3, *matrix)
    place = struct.pack(">II", 16 + 8 * count, len(step))
    return b"mpet\0\0\0\0" + struct.pack(">HHI", 3, 3, count) + place * count + step
