"""TIFFs of every kind: read as other programs read them, or refused by the kind's name."""

import zlib
from collections.abc import Callable, Mapping

import numpy as np
import pytest
from PIL import Image

from pictures.decoder import UnreadableImage, UnsupportedImage, cost, decode, read
from tests.pictures.inputs import Pixels, difference, encode, scene, tiff

RGB = scene()
GRAY = RGB[..., 0]
HEIGHT, WIDTH = GRAY.shape
LZW, DEFLATE, PACKBITS = "tiff_lzw", "tiff_adobe_deflate", "packbits"


def packbits(data: bytes) -> bytes:
    """Compress with literal runs alone."""
    parts = [data[start : start + 128] for start in range(0, len(data), 128)]
    return b"".join(bytes([len(part) - 1]) + part for part in parts)


COMPRESSED: dict[int, Callable[[bytes], bytes]] = {
    1: lambda data: data,
    8: zlib.compress,
    32773: packbits,
    32946: zlib.compress,
}


def plain(
    samples: Pixels,
    photometric: int,
    bits: int,
    *,
    order: str = "<",
    compression: int = 1,
    more: Mapping[int, list[int]] | None = None,
) -> bytes:
    """Return a TIFF of one strip; `more` are tags by their number."""
    raw = samples.astype(f"{order}u2") if bits == 16 else samples.astype(np.uint8)
    channels = samples.shape[2] if samples.ndim == 3 else 1
    data = np.packbits(samples, axis=-1).tobytes() if bits == 1 else raw.tobytes()
    tags = {256: [WIDTH], 257: [HEIGHT], 258: [bits] * channels, 259: [compression]}
    tags |= {262: [photometric], 277: [channels], 278: [HEIGHT]}
    return tiff([COMPRESSED[compression](data)], {**tags, **(more or {})}, order)


@pytest.mark.parametrize("compression", COMPRESSED)
@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("bits", [1, 8, 16])
def test_0_can_be_white(bits: int, order: str, compression: int) -> None:
    samples, most = {
        1: (GRAY > 127, 1),
        8: (GRAY, 255),
        16: (GRAY.astype(np.uint16) * 257, 0xFFFF),
    }[bits]
    expected = np.where(samples, 255, 0) if bits == 1 else GRAY
    for photometric in (0, 1):
        stored = samples if photometric else most - samples.astype(int)
        data = plain(stored, photometric, bits, order=order, compression=compression)
        assert difference(decode(data), expected) == 0, photometric


@pytest.mark.parametrize("compression", [None, LZW, DEFLATE, PACKBITS])
@pytest.mark.parametrize("mode", ["L", "I;16"])
def test_0_can_be_white_in_compressed_ones(mode: str, compression: str | None) -> None:
    """Pillow writes the samples; the tag makes them a negative."""
    samples = GRAY if mode == "L" else GRAY.astype(np.uint16) * 257
    most = 255 if mode == "L" else 0xFFFF
    options = {"compression": compression} if compression else {}
    data = bytearray(
        encode(Image.fromarray((most - samples).astype(samples.dtype)), "TIFF", **options)
    )
    entry = data.index(b"\x06\x01\x03\x00\x01\x00\x00\x00")  # PhotometricInterpretation, one short
    data[entry + 8] = 0
    assert difference(decode(bytes(data)), GRAY) == 0


@pytest.mark.parametrize("compression", COMPRESSED)
@pytest.mark.parametrize("order", "<>")
def test_16_bit_rgb(order: str, compression: int) -> None:
    wide = RGB.astype(np.uint16) * 257
    assert difference(decode(plain(wide, 2, 16, order=order, compression=compression)), RGB) == 0


@pytest.mark.parametrize("compression", [1, 8])
def test_8_bit_planes_are_read(compression: int) -> None:
    tags = {256: [WIDTH], 257: [HEIGHT], 258: [8] * 3, 259: [compression], 262: [2], 277: [3]}
    tags |= {278: [HEIGHT], 284: [2]}
    planes = [COMPRESSED[compression](RGB[..., one].tobytes()) for one in range(3)]
    assert difference(decode(tiff(planes, tags)), RGB) == 0


@pytest.mark.parametrize("order", "<>")
def test_16_bit_planes_are_refused_by_name(order: str) -> None:
    wide = (RGB.astype(np.uint16) * 257).astype(f"{order}u2")
    tags = {256: [WIDTH], 257: [HEIGHT], 258: [16] * 3, 259: [1], 262: [2], 277: [3]}
    tags |= {278: [HEIGHT], 284: [2]}
    with pytest.raises(UnsupportedImage, match="16 bits in planes, one for each colour"):
        decode(tiff([wide[..., one].tobytes() for one in range(3)], tags, order))


def test_opacity_that_is_multiplied_in_and_that_is_not() -> None:
    alpha = np.full((HEIGHT, WIDTH, 1), 128, np.uint8)
    expected = 255 - (255 - GRAY.astype(int)) * 128 / 255
    apart = np.concatenate([GRAY[..., None], alpha], axis=-1)
    assert difference(decode(plain(apart, 1, 8, more={338: [2]})), expected) <= 1
    multiplied = np.concatenate([GRAY[..., None] * (128 / 255), alpha], axis=-1)
    assert difference(decode(plain(multiplied, 1, 8, more={338: [1]})), expected) <= 2
    expected = 255 - (255 - RGB.astype(int)) * 128 / 255
    multiplied = np.concatenate([RGB * (128 / 255), alpha], axis=-1)
    assert difference(decode(plain(multiplied, 2, 8, more={338: [1]})), expected) <= 2
    with_more = np.concatenate([RGB, alpha], axis=-1)
    assert difference(decode(plain(with_more, 2, 8, more={338: [0]})), RGB) == 0


@pytest.mark.parametrize("bits", [8, 16])
def test_cmyk_without_black(bits: int) -> None:
    ink = np.concatenate([255 - RGB, np.zeros((HEIGHT, WIDTH, 1), np.uint8)], axis=-1)
    samples = ink.astype(np.uint16) * 257 if bits == 16 else ink
    assert difference(decode(plain(samples, 5, bits)), RGB) == 0


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("strips", [1, 3])
def test_big_tiffs_are_read(order: str, strips: int) -> None:
    rows = HEIGHT // strips
    tags = {256: [WIDTH], 257: [HEIGHT], 258: [8] * 3, 262: [2], 277: [3], 278: [rows]}
    parts = [RGB[at : at + rows].tobytes() for at in range(0, HEIGHT, rows)]
    assert difference(decode(tiff(parts, tags, order, big=True)), RGB) == 0


@pytest.mark.parametrize(
    ("photometric", "bits", "more", "name"),
    [
        (8, 8, {}, "colour space CIELab"),
        (9, 8, {}, "colour space ICCLab"),
        (32845, 8, {}, "colour space LogLuv"),
        (32803, 8, {}, "raw picture"),
        (2, 8, {339: [2, 2, 2]}, "signed numbers"),
        (2, 16, {339: [3, 3, 3]}, "floating-point numbers"),
        (2, 8, {258: [8, 16, 8]}, "samples of 8 and 16 bits for RGB"),
        (2, 8, {258: [5, 5, 5]}, "5 bits a sample for RGB"),
        (2, 8, {259: [50001]}, "compressed with WebP"),
        (2, 8, {259: [50000]}, "compressed with Zstandard"),
        (2, 8, {259: [34925]}, "compressed with LZMA"),
        (2, 8, {259: [34712]}, "compressed with JPEG 2000"),
        (2, 8, {259: [34887]}, "compressed with LERC"),
        (2, 8, {259: [6]}, "compressed with old-style JPEG"),
        (2, 8, {259: [4711]}, "compressed with number 4711"),
        (77, 8, {}, "colours number 77"),
    ],
)
def test_other_kinds_are_refused_by_name(
    photometric: int, bits: int, more: dict[int, list[int]], name: str
) -> None:
    with pytest.raises(UnsupportedImage, match=name) as refused:
        decode(plain(RGB, photometric, bits, more=more))
    assert "save it as" in str(refused.value) or "which is not supported" in str(refused.value)


def test_a_cameras_raw_file_is_no_thumbnail() -> None:
    """NEF, ARW and DNG begin with a small picture that any TIFF reader shows."""
    with pytest.raises(UnsupportedImage, match=r"camera's raw picture \(raw\)"):
        decode(plain(RGB, 2, 8, more={254: [1], 330: [200]}))
    with pytest.raises(UnsupportedImage, match=r"camera's raw picture \(DNG\)"):
        decode(plain(RGB, 2, 8, more={50706: [1, 4, 0, 0]}))


def test_damaged_metadata_does_not_refuse_sound_pixels() -> None:
    wrong = {282: [3], 305: [70_000], 700: [1] * 9, 34665: [4_000_000_000]}
    result = read(plain(RGB, 2, 8, more=wrong))
    assert difference(result.image, RGB) == 0


def test_tags_that_are_lies_are_refused() -> None:
    for more in ({258: [0, 0, 0]}, {277: [60_000]}, {277: [0]}, {259: [0]}):
        with pytest.raises((UnreadableImage, UnsupportedImage)):
            decode(plain(RGB, 2, 8, more=more))
    data = bytearray(plain(RGB, 2, 8))
    data[4:8] = b"\xff\xff\xff\xff"
    with pytest.raises(UnreadableImage, match="damaged or cut short"):
        cost(bytes(data))


def test_later_pages_are_not_looked_at() -> None:
    data = bytearray(plain(RGB, 2, 8))
    start = int.from_bytes(data[4:8], "little")
    count = int.from_bytes(data[start : start + 2], "little")
    data[start + 2 + 12 * count :][:4] = (4_000_000_000).to_bytes(4, "little")
    assert difference(decode(bytes(data)), RGB) == 0
