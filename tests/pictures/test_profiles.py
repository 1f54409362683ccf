"""Colour profiles are converted to sRGB, in every format and for training and serving alike."""

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms

from pictures.decoder import decode, read
from pictures.decoding import colours
from tests.pictures.inputs import (
    ADOBE_RGB,
    DISPLAY_P3,
    Pixels,
    chunk,
    difference,
    elements,
    encode,
    gray_profile,
    png,
    press_profile,
    profile,
    scene,
    with_tag,
)

RGB = scene()
P3, ADOBE = profile(DISPLAY_P3, 2.2), profile(ADOBE_RGB, 2.2)
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def srgb(pixels: Pixels, primaries: Any, gamma: float) -> Pixels:
    """Return what the pixels of a display are in sRGB, by the formulas."""
    to_xyz = np.array(primaries).T
    # Columns of sRGB, adapted to D50. Source: IEC 61966-2-1, ICC's sRGB profile.
    of_srgb = np.array(
        [(0.43607, 0.22249, 0.01392), (0.38515, 0.71687, 0.09708), (0.14307, 0.06061, 0.71410)]
    ).T
    linear = (pixels / 255) ** gamma @ to_xyz.T @ np.linalg.inv(of_srgb).T
    linear = np.clip(linear, 0, 1)
    curved = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.asarray(curved * 255)


@pytest.mark.parametrize(
    ("form", "options"),
    [("PNG", {}), ("JPEG", {"quality": 100, "subsampling": 0}), ("TIFF", {}),
     ("TIFF", {"compression": "tiff_lzw"}), ("WEBP", {"lossless": True})],
)  # fmt: skip
@pytest.mark.parametrize("name", ["Display P3", "Adobe RGB"])
def test_a_display_profile_is_converted(name: str, form: str, options: dict[str, Any]) -> None:
    primaries, data = {"Display P3": (DISPLAY_P3, P3), "Adobe RGB": (ADOBE_RGB, ADOBE)}[name]
    picture = Image.fromarray(RGB)
    result = read(encode(picture, form, icc_profile=data, **options))
    expected = srgb(np.asarray(decode(encode(picture, form, **options))), primaries, 2.2)
    assert difference(result.image, expected) <= 3
    assert difference(result.image, RGB) > 20
    assert result.remarks == ()


def test_the_profile_of_srgb_changes_no_pixel() -> None:
    data = encode(Image.fromarray(RGB), "PNG", icc_profile=SRGB)
    assert difference(decode(data), RGB) == 0


def test_opacity_palettes_and_16_bits_are_converted_too() -> None:
    expected = srgb(RGB, DISPLAY_P3, 2.2)
    see_through = Image.fromarray(np.dstack([RGB, np.full(RGB.shape[:2], 128, np.uint8)]))
    on_white = 255 - (255 - expected) * 128 / 255
    assert difference(decode(encode(see_through, "PNG", icc_profile=P3)), on_white) <= 3
    palette = Image.fromarray(RGB).quantize(16)
    colours_of_it = srgb(np.asarray(palette.convert("RGB")), DISPLAY_P3, 2.2)
    assert difference(decode(encode(palette, "PNG", icc_profile=P3)), colours_of_it) <= 3
    packed = io.BytesIO(encode(Image.fromarray(RGB), "PNG", icc_profile=P3)).getvalue()
    start = packed.index(b"iCCP") - 4
    size = int.from_bytes(packed[start : start + 4], "big") + 12
    deep = png(RGB.astype(np.uint16) * 257, 2, 16, packed[start : start + size])
    assert difference(decode(deep), expected) <= 3


def test_gray_profiles_and_gray_pixels_with_a_colour_profile() -> None:
    gray = Image.fromarray(RGB[..., 0])
    linear = decode(encode(gray, "PNG", icc_profile=gray_profile(1.0)))
    curved = srgb(np.asarray(gray)[..., None].repeat(3, -1), DISPLAY_P3, 1.0)
    assert difference(linear, curved) <= 8  # LittleCMS interpolates gray coarsely where it is dark
    bright = decode(encode(gray, "JPEG", quality=100, icc_profile=profile(DISPLAY_P3, 1.0)))
    assert difference(bright, curved) <= 16  # JPEG's own error, enlarged where it is dark


@pytest.mark.parametrize("form", ["TIFF", "JPEG"])
def test_cmyk_is_converted_by_its_profile(form: str) -> None:
    """Paper, cyan and black; without the profile cyan is (0, 255, 255)."""
    inks = np.zeros((16, 48, 4), np.uint8)
    inks[:, 16:32, 0] = 255
    inks[:, 32:, 3] = 255
    picture = Image.frombytes("CMYK", (48, 16), inks.tobytes())
    result = read(encode(picture, form, icc_profile=press_profile()))
    assert result.remarks == ()
    for left, level in ((4, 255), (20, 119), (40, 0)):  # L* of 100, 50 and 0
        assert result.image.getpixel((left, 8)) == pytest.approx((level,) * 3, abs=6)


def test_cmyk_without_a_fitting_profile_is_read_as_before() -> None:
    cmyk = Image.fromarray(RGB).convert("CMYK")
    plain = decode(encode(cmyk, "JPEG", quality=95))
    result = read(encode(cmyk, "JPEG", quality=95, icc_profile=P3))
    assert result.image.tobytes() == plain.tobytes()
    assert "for other pixels" in result.remarks[0]


@pytest.mark.parametrize(
    "broken",
    [
        b"x",
        bytes(200),
        P3[:140],
        P3[:16] + b"Lab " + P3[20:],
        P3[:128] + b"\xff\xff\xff\xff" + P3[132:],
        P3[:36] + b"xxxx" + P3[40:],
        P3[:200] + bytes(len(P3) - 200),
    ],
    ids=range(7),
)
def test_a_damaged_profile_is_passed_over_and_named(broken: bytes) -> None:
    result = read(encode(Image.fromarray(RGB), "PNG", icc_profile=broken))
    assert difference(result.image, RGB) == 0
    assert "profile" in result.remarks[0]


def test_a_huge_profile_is_passed_over_and_named() -> None:
    huge = P3 + np.random.default_rng(0).bytes(2**22)
    for form in ("PNG", "JPEG", "TIFF", "WEBP"):
        result = read(encode(Image.fromarray(RGB), form, icc_profile=huge))
        assert "4 MiB" in result.remarks[0], form


def test_a_damaged_profile_chunk_of_a_png_is_passed_over() -> None:
    for body in (b"name\0\0junk", b"name", b"name\0\0"):
        assert difference(decode(png(RGB, 2, 8, chunk(b"iCCP", body))), RGB) == 0


def test_a_profile_is_prepared_once() -> None:
    colours._profile.cache_clear()
    data = encode(Image.fromarray(RGB), "JPEG", icc_profile=P3)
    for _ in range(5):
        decode(data)
    assert colours._profile.cache_info().misses == 1


def test_a_reduced_jpeg_is_converted_too() -> None:
    large = Image.fromarray(RGB).resize((640, 480), Image.Resampling.BICUBIC)
    whole = decode(encode(large, "JPEG", quality=95, icc_profile=P3))
    reduced = decode(encode(large, "JPEG", quality=95, icc_profile=P3), at_least=120)
    assert reduced.size == (160, 120)
    shrunk = np.asarray(whole.resize((160, 120), Image.Resampling.BOX)).astype(int)
    assert np.abs(np.asarray(reduced).astype(int) - shrunk).mean() < 3


@pytest.mark.parametrize("form", ["PNG", "JPEG", "TIFF", "WEBP"])
def test_the_steps_of_a_profile_in_floats_are_not_computed(form: str) -> None:
    """A file of a few kilobytes has 500,000 of them; readers without them use the other tags."""
    options: Any = {"WEBP": {"lossless": True}, "JPEG": {"quality": 100}}.get(form, {})
    picture = Image.fromarray(RGB)
    expected = decode(encode(picture, form, icc_profile=P3, **options))
    darker = with_tag(P3, b"D2B0", elements(2, 0.5))
    assert difference(decode(encode(picture, form, icc_profile=darker, **options)), RGB) > 20
    result = read(encode(picture, form, icc_profile=darker, **options))
    assert difference(result.image, np.asarray(expected)) == 0


def test_display_profiles_are_plain_and_tables_are_not() -> None:
    table = with_tag(P3, b"A2B0", b"mft1" + bytes(100))
    for plain in (P3, ADOBE, SRGB, gray_profile(2.2), with_tag(P3, b"cprt", b"text" + bytes(9))):
        assert colours.is_plain(plain)
    for other in (
        press_profile(),
        table,
        with_tag(P3, b"D2B1", elements(1)),
        with_tag(P3, b"zzzz", bytes(2**17)),
        P3[:12] + b"link" + P3[16:],
        P3[:140],
    ):
        assert not colours.is_plain(other)
    assert colours.is_plain(bytes(3000)), "no profile: it is passed over"
