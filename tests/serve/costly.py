"""The most expensive pictures that we know, each of at most 6 MB.

`costly_bodies.py` has those of other content types. `benchmarks/worst_costs.py` and the tests send
them.
"""

import struct
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image

from tests.pictures.inputs import DISPLAY_P3, chunk, elements, profile, with_tag
from tests.pictures.test_images import encode, progressive, solid_webp, tiled_tiff
from tests.serve.conftest import picture
from tests.serve.hostile import png

MOST = 6 * 1024 * 1024 - 4096  # bytes of a body
SIDE = 8191  # 67 megapixels, the most that a picture can have

# Each makes its body only when it is needed: all together they have 200 MB.
Bodies = dict[str, Callable[[], bytes]]


def noise(width: int, height: int, channels: int = 3) -> Image.Image:
    shape = (height, width, channels) if channels > 1 else (height, width)
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, shape, np.uint8))


def _segments(marker: bytes, size: int, start: bytes = b"") -> bytes:
    one = marker + struct.pack(">H", 2 + len(start) + size) + start + bytes(size)
    return one * (MOST // len(one))


def _in_jpeg(more: bytes) -> bytes:
    return picture(1)[:2] + more + picture(1)[2:]


def _rows(width: int, height: int, bits: int, filtered: int = 0) -> bytes:
    """Return compressed rows of zeros, as in a PNG, after a filter: 0 is none, 4 is Paeth."""
    packer = zlib.compressobj(9)
    row = bytes([filtered]) + bytes((width * bits + 7) // 8)
    body = b"".join(packer.compress(row * 64) for _ in range(-(-height // 64)))
    return body + packer.flush()


def arithmetic() -> bytes:
    """Return a JPEG of 67 megapixels that says that it is coded arithmetically."""
    data = bytearray(encode(Image.new("RGB", (64, 64)), "JPEG", subsampling=0))
    frame = data.index(b"\xff\xc0")
    data[frame + 1] = 0xC9
    data[frame + 5 : frame + 9] = struct.pack(">HH", SIDE, SIDE)
    scan = data.index(b"\xff\xda")
    values = np.random.default_rng(0).integers(0, 255, MOST - scan - 20, np.uint8)
    return bytes(data[: scan + 14]) + values.tobytes() + b"\xff\xd9"


def fractions(count: int) -> bytes:
    """Return EXIF whose orientation is a list of so many fractions."""
    head = b"II*\0\x08\0\0\0" + struct.pack("<HHHIII", 1, 0x0112, 5, count, 26, 0)
    return head + bytes([1, 0, 0, 0]) * 2 * count


def overlapping_tags(size: int) -> bytes:
    """Return a TIFF directory of 65,535 tags, which all have the same `size` bytes."""
    tags = b"".join(struct.pack("<HHII", tag, 7, size, 8) for tag in range(65_535))
    return b"II*\0\x08\0\0\0" + struct.pack("<H", 65_535) + tags + bytes(size)


def _exif_segments(data: bytes) -> bytes:
    pieces = [data[i : i + 65_000] for i in range(0, len(data), 65_000)]
    return b"".join(
        b"\xff\xe1" + struct.pack(">H", len(one) + 8) + b"Exif\0\0" + one for one in pieces
    )


def _animation(form: str, frames: int, side: int) -> bytes:
    pictures = [Image.new("P" if form == "GIF" else "RGB", (side, side), n) for n in range(2)]
    data = encode(
        pictures[0], form, save_all=True, append_images=pictures * (frames // 2), duration=10
    )
    return data[:MOST]


def _gif(side: int, more: bytes = b"") -> bytes:
    data = picture(1, "GIF")
    return (
        data[:6]
        + struct.pack("<HH", side, side)
        + data[10:13]
        + _palette(data)
        + more
        + (data[13 + len(_palette(data)) :])
    )


def _palette(data: bytes) -> bytes:
    return data[13 : 13 + 3 * 2 ** ((data[10] & 7) + 1)] if data[10] & 0x80 else b""


def _whole_gif(side: int) -> bytes:
    return encode(Image.new("P", (side, side)), "GIF")


def _tiff(mode: str, side: int, compression: str) -> bytes:
    return encode(Image.new(mode, (side, side)), "TIFF", compression=compression)


def rle_bmp(side: int) -> bytes:
    """Return a BMP of one colour in run-length coding."""
    row = (b"\xff\x01" * (side // 255)) + bytes([side % 255, 1]) + b"\0\0"
    data = row * side + b"\0\1"
    palette = bytes(4 * 256)
    head = struct.pack("<IiiHHIIiiII", 40, side, side, 1, 8, 1, len(data), 0, 0, 256, 256)
    start = 14 + len(head) + len(palette)
    return b"BM" + struct.pack("<IHHI", start + len(data), 0, 0, start) + head + palette + data


def _circle(ifds: int) -> bytes:
    """Return a TIFF whose directories refer to each other in a circle."""
    data = bytearray(encode(Image.new("L", (64, 64)), "TIFF"))
    (first,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, first)
    directory = bytes(data[first : first + 2 + 12 * count])
    for n in range(ifds):
        place = first if n == 0 else len(data) - len(directory) - 4
        struct.pack_into("<I", data, place + 2 + 12 * count, len(data) if n < ifds - 1 else first)
        if n < ifds - 1:
            data += directory + bytes(4)
    return bytes(data)


def _text(name: bytes, count: int) -> bytes:
    head = {b"zTXt": b"a\0\0", b"iTXt": b"a\0\1\0\0\0", b"iCCP": b"a\0\0"}[name]
    chunk = (name, head + zlib.compress(bytes(1_000_000), 9))
    return png(9, 9, *[chunk] * count, (b"IDAT", _rows(9, 9, 24)))


def _of(image: Image.Image, form: str, **options: Any) -> bytes:
    return encode(image, form, **options)[:MOST]


def _in_scan(more: bytes) -> bytes:
    whole = encode(Image.new("L", (64, 64)), "JPEG")
    return whole[:-2] + more + whole[-2:]


def baseline_scans() -> bytes:
    """Return a baseline JPEG of 16 megapixels whose only scan comes as often as there is room."""
    whole = encode(Image.new("L", (4000, 4000)), "JPEG")
    scan = whole[whole.index(b"\xff\xda") : -2]
    return whole[:-2] + scan * ((MOST - len(whole)) // len(scan)) + whole[-2:]


def of_profile(form: str, steps: int) -> bytes:
    """Return a picture whose profile converts each pixel in so many steps."""
    display = with_tag(profile(DISPLAY_P3, 2.2), b"D2B0", elements(steps))
    return encode(Image.new("RGB", (600, 600)), form, icc_profile=display)


def late_header(side: int) -> bytes:
    """Return a PNG which looks like one pixel where other PNGs have their size."""
    large = png(side, side, (b"IDAT", _rows(side, side, 24)))
    return large[:8] + chunk(b"tEXt", struct.pack(">II", 1, 1) + bytes(5)) + large[8:]


def strips(count: int) -> bytes:
    """Return a TIFF of 64 columns, with a strip for each row."""
    tags = [(256, 4, 1, 64), (257, 4, 1, count), (273, 4, count, 8), (279, 4, count, 8)]
    directory = b"".join(struct.pack("<HHII", *tag) for tag in tags)
    start = b"II*\0" + struct.pack("<I", 8 + 4 * count) + bytes(4 * count)
    return start + struct.pack("<H", len(tags)) + directory + bytes(4)


JPEGS: Bodies = {
    "67 megapixels of one colour": lambda: encode(Image.new("RGB", (SIDE, SIDE)), "JPEG"),
    "12 megapixels of noise": lambda: _of(noise(4000, 3000), "JPEG", quality=20),
    "67 megapixels in CMYK": lambda: encode(Image.new("CMYK", (SIDE, SIDE)), "JPEG"),
    "arithmetic coding": arithmetic,
    "16 scans of 67 megapixels": lambda: progressive((SIDE, SIDE), 16),
    "100 scans of 10 megapixels": lambda: progressive((3276, 3276), 100),
    "600 scans": lambda: progressive((1000, 1000), 600),
    "1.5 million comments": lambda: _in_jpeg(_segments(b"\xff\xfe", 0)),
    "bytes between markers": lambda: _in_jpeg(bytes(MOST - 5000)),
    "fill bytes": lambda: _in_jpeg(b"\xff" * (MOST - 5000)),
    "200,000 tables": lambda: _in_jpeg(_segments(b"\xff\xdb", 65, b"")),
    "EXIF in 90 segments": lambda: _in_jpeg(_segments(b"\xff\xe1", 60_000, b"Exif\0\0")),
    "empty EXIF segments": lambda: _in_jpeg(_segments(b"\xff\xe1", 0, b"Exif\0\0")),
    "ICC in 90 segments": lambda: _in_jpeg(_segments(b"\xff\xe2", 60_000, b"ICC_PROFILE\0\1\1")),
    "EXIF fractions": lambda: _in_jpeg(_exif_segments(fractions(700_000))),
    "EXIF tags that overlap": lambda: _in_jpeg(_exif_segments(overlapping_tags(4_000_000))),
    "fill bytes in the scan": lambda: _in_scan(b"\xff" * (MOST - 5000)),
    "3 million starts in the scan": lambda: _in_scan(b"\xff\xd8" * (MOST // 2 - 2500)),
    "scans of a baseline JPEG": baseline_scans,
    "no end": lambda: encode(Image.new("RGB", (SIDE, SIDE)), "JPEG")[:-2],
}
PNGS: Bodies = {
    "67 megapixels": lambda: png(SIDE, SIDE, (b"IDAT", _rows(SIDE, SIDE, 24))),
    "16 bits": lambda: png(SIDE, SIDE, (b"IDAT", _rows(SIDE, SIDE, 48)), depth=16),
    "alpha, 16 bits": lambda: png(
        SIDE, SIDE, (b"IDAT", _rows(SIDE, SIDE, 64, 4)), depth=16, colours=6
    ),
    "interlaced": lambda: png(SIDE, SIDE, (b"IDAT", _rows(SIDE, 3 * SIDE, 24)), interlaced=1),
    "a strip": lambda: png(65_000, 1, (b"IDAT", _rows(65_000, 1, 24))),
    "an upright strip": lambda: png(1, 16_000, (b"IDAT", _rows(1, 16_000, 24))),
    "2 megapixels": lambda: png(1448, 1448, (b"IDAT", _rows(1448, 1448, 24))),
    "6 GB for 10 pixels": lambda: png(10, 10, (b"IDAT", _rows(1_000_000, 1920, 24)[: MOST - 100])),
    "zTXt of 60 MB": lambda: _text(b"zTXt", 60),
    "zTXt of 5 GB": lambda: _text(b"zTXt", 5000),
    "iTXt of 60 MB": lambda: _text(b"iTXt", 60),
    "iCCP, 5,000 times": lambda: _text(b"iCCP", 5000),
    "500,000 chunks": lambda: png(9, 9, *[(b"aaAa", b"")] * 500_000),
    "500,000 texts": lambda: png(9, 9, *[(b"tEXt", b"a\0")] * 400_000),
    "EXIF fractions": lambda: png(9, 9, (b"eXIf", fractions(700_000)), (b"IDAT", _rows(9, 9, 24))),
    "an animation": lambda: _animation("PNG", 10_000, 64),
    "a profile of 16,000 steps": lambda: of_profile("PNG", 16_000),
    "the header as second chunk": lambda: late_header(SIDE),
}
WEBPS: Bodies = {
    "34 bytes": lambda: solid_webp(SIDE),
    "lossy": lambda: encode(Image.new("RGB", (SIDE, SIDE)), "WEBP", method=0),
    "noise": lambda: _of(noise(1400, 1400), "WEBP", lossless=True, method=0, quality=0),
    "an animation": lambda: _animation("WEBP", 2000, 512),
    "an animation of a large canvas": lambda: _animation("WEBP", 2, 6000),
    "EXIF fractions": lambda: encode(
        Image.new("RGB", (9, 9)), "WEBP", exif=b"Exif\0\0" + fractions(700_000)
    ),
}
GIFS: Bodies = {
    "a large canvas": lambda: _gif(SIDE),
    "67 megapixels": lambda: _whole_gif(SIDE),
    "an animation": lambda: _animation("GIF", 4000, 64),
    "a million extensions": lambda: _gif(64, b"\x21\xf9\0" * 1_900_000),
    "a million comments": lambda: _gif(64, b"\x21\xfe\x01a\0" * 1_100_000),
    "a long comment": lambda: _gif(64, b"\x21\xfe" + b"\x01a" * 2_900_000 + b"\0"),
}
TIFFS: Bodies = {
    "a tile": lambda: tiled_tiff(30_000),
    "a tile of 67 megapixels": lambda: tiled_tiff(8176),
    "deflate": lambda: _tiff("RGB", SIDE, "tiff_adobe_deflate"),
    "LZW": lambda: _tiff("RGB", 4000, "tiff_lzw"),
    "LZMA": lambda: _tiff("RGB", 4000, "lzma"),
    "packed bits": lambda: _tiff("L", SIDE, "packbits"),
    "fax": lambda: _tiff("1", SIDE, "group4"),
    "JPEG": lambda: _tiff("RGB", SIDE, "jpeg"),
    "500,000 strips": lambda: strips(500_000),
    "65,535 tags": lambda: overlapping_tags(4_000_000),
    "65,535 small tags": lambda: overlapping_tags(60),
    "directories in a circle": lambda: _circle(3),
    "20,000 directories": lambda: _circle(20_000),
    "EXIF fractions": lambda: fractions(700_000),
}
BMPS: Bodies = {
    "runs": lambda: rle_bmp(SIDE),
    "more than there is": lambda: _large_header(picture(1, "BMP")),
    "2 megapixels": lambda: encode(noise(1400, 1400), "BMP")[:MOST],
}


def _large_header(bmp: bytes) -> bytes:
    return bmp[:18] + struct.pack("<ii", SIDE, SIDE) + bmp[26:]


PICTURES: dict[str, Bodies] = {
    "JPEG": JPEGS, "PNG": PNGS, "WebP": WEBPS, "GIF": GIFS, "TIFF": TIFFS, "BMP": BMPS,
}  # fmt: skip
