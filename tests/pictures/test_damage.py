"""Damage around sound pixels is passed over; damage of the pixels is refused."""

import contextlib
import io
import struct
import time
import zlib
from random import Random

import numpy as np
import pytest
from PIL import Image

from pictures.decoder import (
    ImageError,
    OversizeImage,
    UnreadableImage,
    UnsupportedImage,
    cost,
    decode,
    read,
)
from tests import peak
from tests.pictures.inputs import chunk, difference, encode, png, scene

RGB = scene()
NOISE = np.random.default_rng(0).integers(0, 256, (64, 96, 3), np.uint8)


@pytest.mark.parametrize(
    "damaged",
    [
        chunk(b"tEXt", b"Comment\0hello", crc=1),
        chunk(b"pHYs", b"\0\0"),
        chunk(b"pHYs", b"\0\0\x0b\x13\0\0\x0b\x13\1", crc=1),
        chunk(b"gAMA", b""),
        chunk(b"cHRM", b"\0"),
        chunk(b"tIME", bytes(7), crc=1),
        chunk(b"zTXt", b"no null"),
        chunk(b"iTXt", b"\0\1\1"),
        chunk(b"acTL", b"\0"),
        chunk(b"eXIf", b"MM\0*\xff\xff\xff\xff"),
        chunk(b"juNk", bytes(100), crc=7),
    ],
    ids=lambda one: one[4:8].decode(),
)
def test_a_damaged_chunk_beside_the_pixels_of_a_png_is_passed_over(damaged: bytes) -> None:
    result = read(png(RGB, 2, 8, damaged))
    assert difference(result.image, RGB) == 0


@pytest.mark.parametrize("kind", [b"tRNS", b"iCCP", b"sBIT", b"eXIf"])
def test_a_damaged_chunk_that_would_change_pixels_is_passed_over_and_named(kind: bytes) -> None:
    body = {b"tRNS": bytes(6), b"sBIT": b"\5\5\5"}.get(kind, b"x\0\0")
    result = read(png(RGB, 2, 8, chunk(kind, body, crc=1)))
    assert difference(result.image, RGB) == 0
    assert kind.decode() in result.remarks[0]


def test_damage_of_the_pixels_of_a_png_is_refused() -> None:
    header = bytearray(png(RGB, 2, 8))
    header[20] ^= 1
    with pytest.raises(UnreadableImage, match="header is damaged"):
        decode(bytes(header))
    palette = png(RGB[..., :1], 3, 8, chunk(b"PLTE", bytes(768), crc=1))
    with pytest.raises(UnreadableImage, match="palette is damaged"):
        decode(palette)
    data = png(NOISE, 2, 8)
    with pytest.raises(UnreadableImage, match="damaged or cut short"):
        decode(data[: len(data) // 2])
    without = png(RGB, 2, 8).replace(b"IDAT", b"IDAX")
    with pytest.raises(UnreadableImage, match="no pixels"):
        decode(without)


def test_an_iphone_apps_png_is_refused_by_name() -> None:
    data = png(RGB, 2, 8)
    with pytest.raises(UnsupportedImage, match=r"CgBI.*pngcrush"):
        decode(data[:8] + chunk(b"CgBI", bytes(4)) + data[8:])


def test_a_png_without_its_last_chunk_is_read_and_named() -> None:
    result = read(png(RGB, 2, 8)[:-12])
    assert difference(result.image, RGB) == 0
    assert "IEND" in result.remarks[0]


@pytest.mark.slow
def test_metadata_that_unpacks_to_gigabytes_costs_nothing() -> None:
    packer = zlib.compressobj(9)
    bomb = b"".join(packer.compress(bytes(2**20)) for _ in range(200)) + packer.flush()
    chunks = [
        chunk(b"zTXt", b"Comment\0\0" + bomb),
        chunk(b"iTXt", b"Comment\0\1\0\0\0" + bomb),
        chunk(b"iCCP", b"profile\0\0" + bomb),
    ]
    data = png(RGB, 2, 8, *chunks)
    assert difference(decode(data), RGB) == 0
    assert peak.in_fresh_process(decode, data, png(RGB, 2, 8)) < 16


def test_a_png_of_very_many_chunks_is_refused() -> None:
    with pytest.raises(UnreadableImage, match="131,072 chunks"):
        decode(png(RGB, 2, 8, chunk(b"tEXt", b"") * 140_000))


def with_segment(jpeg: bytes, marker: int, body: bytes) -> bytes:
    """Return the JPEG with one more segment at its begin."""
    return jpeg[:2] + b"\xff" + bytes([marker]) + struct.pack(">H", len(body) + 2) + body + jpeg[2:]


def exif(kind: int, value: bytes, tag: int = 0x0112, count: int = 1) -> bytes:
    entry = struct.pack(">HHI", tag, kind, count) + value.ljust(4, b"\0")
    return b"Exif\0\0MM\0*\0\0\0\x08\0\1" + entry + bytes(4)


JPEG = encode(Image.fromarray(RGB), "JPEG", quality=95)


@pytest.mark.parametrize(
    "broken",
    [
        exif(11, struct.pack(">f", float("inf"))),
        exif(11, struct.pack(">f", float("nan"))),
        exif(12, struct.pack(">I", 9999)),
        exif(5, struct.pack(">I", 26)),
        exif(3, b"\0\x09"),
        exif(3, b"\0\0"),
        exif(4, b"\xff\xff\xff\xff"),
        exif(3, b"\0\x06", count=2**31),
        exif(2, b"6\0"),
        b"Exif\0\0MM\0*\xff\xff\xff\xff",
        b"Exif\0\0MM\0*\0\0\0\x08\xff\xff",
        b"Exif\0\0",
        b"http://ns.adobe.com/xap/1.0/\0<broken",
    ],
)
def test_a_damaged_orientation_is_passed_over(broken: bytes) -> None:
    data = with_segment(JPEG, 0xE1, broken)
    assert decode(data).tobytes() == decode(JPEG).tobytes()


def test_an_orientation_in_a_long_integer_is_read() -> None:
    turned = decode(with_segment(JPEG, 0xE1, exif(4, struct.pack(">I", 6))))
    assert turned.size == (48, 64)
    assert turned.transpose(Image.Transpose.ROTATE_90).tobytes() == decode(JPEG).tobytes()


@pytest.mark.parametrize("marker", [0xE2, 0xE3, 0xED, 0xEF, 0xFE])
def test_damaged_segments_beside_the_pixels_of_a_jpeg_are_passed_over(marker: int) -> None:
    for body in (b"MPF\0MM\0*\xff\xff\xff\xff", b"Photoshop 3.0\0008BIM\4\4", b"", b"\xff" * 999):
        assert decode(with_segment(JPEG, marker, body)).tobytes() == decode(JPEG).tobytes()


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"progressive": True},
        {"subsampling": 0, "quality": 100},
        {"optimize": True, "quality": 30},
        {"restart_marker_blocks": 2},
    ],
    ids=str,
)
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_a_jpeg_without_its_end_is_read_and_named(mode: str, options: dict[str, object]) -> None:
    data = encode(Image.fromarray(NOISE).convert(mode), "JPEG", **options)
    for cut, filling in ((2, b""), (1, b""), (2, bytes(300)), (2, b"\xff" * 9)):
        result = read(data[:-cut] + filling)
        assert result.image.tobytes() == decode(data).tobytes()
        assert "end (FFD9)" in result.remarks[0]


@pytest.mark.parametrize("options", [{}, {"progressive": True}], ids=str)
@pytest.mark.parametrize("at_least", [None, 16])
def test_a_jpeg_that_is_cut_short_is_refused(
    options: dict[str, object], at_least: int | None
) -> None:
    data = encode(Image.fromarray(NOISE), "JPEG", **options)
    start = data.index(b"\xff\xda") + 20
    for end in (*range(start, len(data) - 12, len(data) // 12), len(data) - 40):
        with pytest.raises(UnreadableImage, match="cut short"):
            decode(data[:end], at_least=at_least)


def test_a_progressive_jpeg_that_lacks_whole_scans_is_refused() -> None:
    data = encode(Image.fromarray(NOISE), "JPEG", progressive=True)
    cuts = [at for at in range(len(data)) if data[at : at + 2] == b"\xff\xda"]
    for at in cuts[1:]:
        tables = data.rindex(b"\xff\xc4", 0, at) if data.find(b"\xff\xc4", cuts[0], at) > 0 else at
        with pytest.raises(UnreadableImage, match="cut short"):
            decode(data[:tables])


@pytest.mark.parametrize(
    ("marker", "bits", "name"),
    [
        (0xC1, 12, "12-bit JPEG"),
        (0xC0, 16, "16-bit JPEG"),
        (0xC3, 8, "lossless JPEG"),
        (0xC5, 8, "hierarchical JPEG"),
        (0xC9, 8, "arithmetic coding"),
        (0xCA, 8, "arithmetic coding"),
        (0xCB, 8, "lossless JPEG"),
        (0xF7, 8, "JPEG-LS"),
    ],
)
def test_other_kinds_of_jpeg_are_refused_by_name(marker: int, bits: int, name: str) -> None:
    data = bytearray(JPEG)
    frame = data.index(b"\xff\xc0")
    data[frame + 1], data[frame + 4] = marker, bits
    with pytest.raises(UnsupportedImage, match=f"{name}, which is not supported: save it as"):
        decode(bytes(data))


def test_a_jpeg_of_very_many_segments_is_refused() -> None:
    with pytest.raises(OversizeImage, match="16,384 segments"):
        decode(JPEG[:2] + b"\xff\xfe\0\2" * 20_000 + JPEG[2:])


def test_a_jpeg_of_fill_bytes_is_looked_through_once() -> None:
    data = JPEG[:2] + b"\xff" * 4_000_000 + JPEG[2:]
    began = time.process_time()
    with contextlib.suppress(UnreadableImage):
        decode(data)
    assert time.process_time() - began < 5  # hours if every byte begins another search


@pytest.mark.filterwarnings("ignore")  # Pillow's, of what is damaged
def test_damaged_bytes_are_read_or_refused() -> None:
    """Whatever the damage, the error is the decoder's own."""
    random = Random(0)  # noqa: S311
    deep = png(RGB.astype(np.uint16), 2, 16, chunk(b"tRNS", bytes(6)), chunk(b"sBIT", b"\6\6\6"))
    forms = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF")
    for data in (deep, *(encode(Image.fromarray(RGB), form) for form in forms)):
        for _ in range(30):
            damaged = bytearray(data)
            for _ in range(random.choice((1, 3, 20))):
                place = random.randrange(min(len(data), random.choice((64, len(data)))))
                damaged[place] = random.choice((0, 255, random.randrange(256)))
            for function in (cost, decode):
                with contextlib.suppress(ImageError):
                    function(bytes(damaged), max_pixels=2**20)


@pytest.mark.parametrize("marker", [b"\xff\xd8", b"\xff\xd8\xff", b"\xff\xd8\xff\xe0\0\x10JFIF\0"])
def test_the_begin_of_a_jpeg_alone_is_refused(marker: bytes) -> None:
    with pytest.raises(UnreadableImage):
        decode(marker + bytes(20))


@pytest.mark.parametrize("bits", [24, 32])
def test_opacity_of_a_bmp_that_is_0_everywhere_is_no_opacity(bits: int) -> None:
    """Windows programs leave the fourth byte of a pixel 0."""
    if bits == 24:
        assert read(encode(Image.fromarray(RGB), "BMP")).remarks == ()
        return
    for alpha in (0, 255, 128):
        pixels = np.dstack([RGB[::-1, :, ::-1], np.full(RGB.shape[:2], alpha, np.uint8)])
        masks = struct.pack("<IIII", 0xFF0000, 0xFF00, 0xFF, 0xFF000000)
        height, width = RGB.shape[:2]
        header = struct.pack("<IiiHHIIiiII", 124, width, height, 1, 32, 3, 0, 0, 0, 0, 0) + masks
        header = header.ljust(124, b"\0")
        data = b"BM" + struct.pack("<IHHI", 138 + pixels.size, 0, 0, 138) + header
        result = read(data + pixels.tobytes())
        expected = 255 - (255 - RGB.astype(int)) * 128 / 255 if alpha == 128 else RGB
        assert difference(result.image, expected) <= 1
        assert bool(result.remarks) == (alpha == 0)


def test_a_strip_is_decoded_in_little_memory() -> None:
    strip = Image.fromarray(np.zeros((1, 16_000, 3), np.uint8))
    for form in ("PNG", "BMP", "TIFF"):
        assert decode(encode(strip, form)).size == (16_000, 1)


def test_webp_with_damaged_metadata_is_read() -> None:
    whole = encode(Image.fromarray(RGB), "WEBP", lossless=True, exif=b"Exif\0\0broken", xmp=b"<")
    assert difference(decode(whole), RGB) == 0
    assert io.BytesIO(whole).read(4) == b"RIFF"


def test_the_markers_of_a_jpeg_are_counted_whatever_they_are() -> None:
    """Six megabytes hold three million starts of a picture, which have no contents."""
    whole = encode(Image.fromarray(scene()), "JPEG")
    end = whole.rindex(b"\xff\xd9")
    with pytest.raises(UnreadableImage):
        decode(whole[:end] + b"\xff\xd8" * 3 + whole[end:])
    with pytest.raises(OversizeImage, match="segments"):
        decode(whole[:end] + b"\xff\xd8" * 20_000 + whole[end:])
