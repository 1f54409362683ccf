"""Samples of 16 bits, samples with fewer significant bits, and transparency of 16-bit PNGs."""

import numpy as np
import pytest
from PIL import Image

from pictures.decoder import decode, read
from tests.pictures.inputs import chunk, difference, encode, png, scene, tiff

RGB = scene()
GRAY = RGB[..., 0]
ALPHA = np.full((*GRAY.shape, 1), 255, np.uint8)
# name -> samples of 8 bits, and PNG's number for their colours
KINDS = {
    "gray": (GRAY[..., None], 0),
    "RGB": (RGB, 2),
    "gray and alpha": (np.concatenate([GRAY[..., None], ALPHA], axis=-1), 4),
    "RGBA": (np.concatenate([RGB, ALPHA], axis=-1), 6),
}


def shown(kind: str) -> np.ndarray:
    return RGB if "RGB" in kind else GRAY


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bits", [9, 10, 12, 14, 15])
def test_samples_within_the_bits_that_sbit_says_are_scaled_by_them(kind: str, bits: int) -> None:
    samples, colour = KINDS[kind]
    wide = samples.astype(np.uint16) << (bits - 8)
    wide |= 1  # some low bits
    said = chunk(b"sBIT", bytes([bits] * samples.shape[-1]))
    result = read(png(wide, colour, 16, said))
    assert difference(result.image, shown(kind)) <= 1
    assert f"within the {bits} bits" in result.remarks[0]


@pytest.mark.parametrize("kind", KINDS)
def test_sbit_of_samples_that_use_all_bits_changes_nothing(kind: str) -> None:
    """PNG wants samples scaled to the full depth: most writers of sBIT do so."""
    samples, colour = KINDS[kind]
    said = chunk(b"sBIT", bytes([12] * samples.shape[-1]))
    result = read(png(samples.astype(np.uint16) * 257, colour, 16, said))
    assert difference(result.image, shown(kind)) == 0
    assert result.remarks == ()


@pytest.mark.parametrize("kind", KINDS)
def test_sbit_of_eight_bit_samples(kind: str) -> None:
    samples, colour = KINDS[kind]
    said = chunk(b"sBIT", bytes([5] * samples.shape[-1]))
    few = samples >> 3
    if samples.shape[-1] in (2, 4):
        few[..., -1] = 255
    result = read(png(few, colour, 8, said))
    assert difference(result.image, shown(kind) >> 3 << 3) <= 8
    assert np.asarray(result.image).max() == 255
    assert difference(read(png(samples, colour, 8, said)).image, shown(kind)) == 0


def test_sbit_of_a_palette() -> None:
    palette = np.arange(0, 32, dtype=np.uint8).repeat(3)
    indices = (GRAY >> 3)[..., None]
    chunks = chunk(b"sBIT", b"\5\5\5"), chunk(b"PLTE", palette.tobytes())
    result = read(png(indices, 3, 8, *chunks))
    assert difference(result.image, indices[..., 0].astype(int) * 255 // 31) == 0
    assert "within the 5 bits" in result.remarks[0]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bits", [8, 10, 12, 14])
def test_few_bits_that_nothing_says_are_read_as_they_are_and_named(kind: str, bits: int) -> None:
    samples, colour = KINDS[kind]
    wide = samples.astype(int) * ((1 << bits) - 1) // 255
    if samples.shape[-1] in (2, 4):
        wide[..., -1] = 0xFFFF
    result = read(png(wide, colour, 16))
    assert difference(result.image, (wide if "RGB" in kind else wide[..., :1])[..., :3] >> 8) == 0
    assert f"use {bits} of 16 bits" in result.remarks[0]


def test_few_bits_in_a_16_bit_tiff_are_named() -> None:
    data = encode(Image.fromarray(GRAY.astype(np.uint16) << 4), "TIFF", compression="tiff_lzw")
    assert "use 12 of 16 bits" in read(data).remarks[0]


def test_a_16_bit_picture_that_uses_its_bits_has_no_remark() -> None:
    for samples, colour in KINDS.values():
        assert read(png(samples.astype(np.uint16) * 257, colour, 16)).remarks == ()


def test_a_12_bit_tiff_is_scaled() -> None:
    """Two samples are in three bytes."""
    wide = (GRAY.astype(int) << 4).reshape(-1, 2)
    first, second = wide[:, 0], wide[:, 1]
    packed = np.stack([first >> 4, (first & 15) << 4 | second >> 8, second & 255], axis=-1)
    height, width = GRAY.shape
    tags = {256: [width], 257: [height], 258: [12], 259: [1], 262: [1], 277: [1], 278: [height]}
    result = read(tiff([packed.astype(np.uint8).tobytes()], tags))
    assert difference(result.image, GRAY) == 0
    assert result.remarks == ()


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("kind", ["gray", "RGB"])
def test_a_transparent_colour_becomes_white(kind: str, depth: int) -> None:
    samples, colour = KINDS[kind]
    wide = samples.astype(np.uint16) * (257 if depth == 16 else 1)
    wide[:10, :10] = wide[0, 0]
    if depth == 16:
        wide[20, 20] = wide[0, 0] + 1  # the same upper bits: not transparent
    key = b"".join(int(one).to_bytes(2, "big") for one in wide[0, 0])
    pixels = np.asarray(decode(png(wide, colour, depth, chunk(b"tRNS", key))))
    assert (pixels[:10, :10] == 255).all()
    others = (wide != wide[0, 0]).any(axis=-1)
    assert (pixels[others] == (wide >> (depth - 8))[others]).all()
    if depth == 16:
        assert (pixels[20, 20] == wide[20, 20] >> 8).all()


def test_16_bit_opacity_is_on_white() -> None:
    for kind in ("gray and alpha", "RGBA"):
        samples, colour = KINDS[kind]
        wide = samples.astype(np.uint16) * 257
        wide[..., -1] = 0x8080
        expected = 255 - (255 - shown(kind).astype(int)) * 128 / 255
        assert difference(decode(png(wide, colour, 16)), expected) <= 1


def test_a_picture_of_which_nothing_can_be_seen_is_named() -> None:
    clear = Image.new("RGBA", (8, 8), (200, 10, 10, 0))
    result = read(encode(clear, "PNG"))
    assert result.image.getpixel((3, 3)) == (255, 255, 255)
    assert "transparent" in result.remarks[0]
