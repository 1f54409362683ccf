"""Small pictures that take long are left to the lane: each is quick by its size alone."""

import math
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from serve import triage
from tests.pictures import inputs
from tests.pictures.inputs import ADOBE_RGB, DISPLAY_P3, chunk, profile, with_tag
from tests.pictures.test_images import encode
from tests.serve.costly import rle_bmp, strips
from tests.serve.hostile import png
from tests.serve.test_triage import CROP, quick

P3 = profile(DISPLAY_P3, 2.2)
STEPS = with_tag(P3, b"D2B0", inputs.elements(1000))
TABLE = with_tag(P3, b"A2B0", b"mft1" + bytes(9000))
GRAY = Image.new("L", (64, 64))


def seconds(data: bytes) -> float:
    return triage.seconds(data, CROP)


@pytest.mark.parametrize("form", ["JPEG", "PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("unusual", [STEPS, TABLE, P3 + bytes(2**17)], ids=["steps", "table", "8"])
def test_a_profile_that_is_no_displays_is_left_to_the_lane(form: str, unusual: bytes) -> None:
    small = Image.new("RGB", (64, 64))
    for usual in (P3, profile(ADOBE_RGB, 2.2), b"damaged"):
        assert quick(encode(small, form, icc_profile=usual))
    assert seconds(encode(small, form, icc_profile=unusual)) == math.inf


def test_a_damaged_profile_of_a_png_does_not_hide_the_next_one() -> None:
    def packed(body: bytes) -> tuple[bytes, bytes]:
        return b"iCCP", b"a\0\0" + zlib.compress(body)

    pixels = (b"IDAT", zlib.compress(bytes(9 * 28)))
    assert quick(png(9, 9, packed(P3), packed(P3), pixels))
    assert not quick(png(9, 9, packed(P3), packed(STEPS), pixels))
    assert quick(png(9, 9, (b"iCCP", b"a\0\0junk"), pixels))


def test_a_profile_has_a_price_for_the_pixels_that_are_converted() -> None:
    large = Image.new("RGB", (1900, 1900))
    plain, converted = (encode(large, "PNG", icc_profile=one) for one in (None, P3))
    # Nanoseconds for each pixel, and milliseconds to prepare it.
    assert seconds(converted) - seconds(plain) == pytest.approx(1900 * 1900 * 15e-9 + 2.5e-3)
    # A photo of a phone is decoded at an eighth of its size.
    assert quick(encode(Image.new("RGB", (4032, 3024)), "JPEG", icc_profile=P3))


def test_a_png_of_16_bits_costs_more() -> None:
    samples = np.zeros((1500, 1500, 3), np.uint16)
    assert quick(inputs.png(samples.astype(np.uint8), 2, 8))
    assert not quick(inputs.png(samples, 2, 16))
    assert not quick(inputs.png(samples, 2, 16, chunk(b"sBIT", bytes([12, 12, 12]))))
    assert quick(inputs.png(samples[:900, :900], 2, 16))


def test_the_scans_of_a_baseline_jpeg_are_counted() -> None:
    """In scans of their own, the colours of 10 megapixels can come a hundred times."""
    whole = encode(Image.new("L", (3200, 3200)), "JPEG")
    scan = whole.index(b"\xff\xda")
    assert quick(whole)
    assert not quick(whole[:-2] + whole[scan:])


def test_a_jpeg_without_its_end_is_decoded_four_times() -> None:
    whole = encode(Image.new("L", (2400, 2400)), "JPEG")
    assert quick(whole)
    assert quick(whole + b"a film")
    assert not quick(whole[:-2])
    hidden = b"\xff\xfe" + struct.pack(">H", 10) + b"\xff\xd9" + bytes(6)  # in a comment
    assert not quick(whole[:-2] + hidden)


def test_the_tables_and_markers_of_a_jpeg_are_bounded() -> None:
    whole = encode(GRAY, "JPEG")
    tables = b"\xff\xdb" + struct.pack(">H", 2 + 65 * 500) + (b"\0" + b"\1" * 64) * 500
    assert quick(whole[:2] + tables[:2] + struct.pack(">H", 67) + tables[4:69] + whole[2:])
    assert not quick(whole[:2] + tables + whole[2:])
    assert not quick(whole[:-2] + b"\xff\xd8" * 1000 + whole[-2:])


def test_the_bytes_of_a_jpeg_where_a_marker_could_begin_have_a_price() -> None:
    whole = encode(GRAY, "JPEG")
    assert quick(whole[:-2] + bytes(6_000_000) + whole[-2:])
    for filled in (b"\xff" * 6_000_000, b"\xff\0" * 3_000_000, b"\xff\xd0" * 3_000_000):
        assert not quick(whole[:-2] + filled + whole[-2:])


def test_a_tiff_of_jpegs_is_left_to_the_lane() -> None:
    """Each strip can have a hundred scans."""
    assert quick(encode(GRAY, "TIFF", compression="tiff_lzw"))
    assert not quick(encode(GRAY, "TIFF", compression="jpeg"))


def test_a_tiff_of_many_pieces_is_left_to_the_lane() -> None:
    assert quick(strips(1000))
    assert not quick(strips(4000))


def test_a_bmp_of_runs_is_left_to_the_lane() -> None:
    """Pillow's reader takes it byte by byte, in Python."""
    assert quick(encode(GRAY, "BMP"))
    assert not quick(rle_bmp(64))
