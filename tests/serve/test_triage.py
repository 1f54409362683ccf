"""Ordinary pictures are quick; what is large or unusual is left to the lane."""

import io
import math
import time

import numpy as np
import pytest
from PIL import Image

from pictures.decoder import decode
from pictures.geometry import CentreCrop
from serve import triage
from serve.decoding import QUICK_S
from tests.pictures.test_images import encode, solid_webp
from tests.serve import costly
from tests.serve.conftest import picture

CROP = CentreCrop(resize=256, crop=224)
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP")
# Unusual or large; most are a few bytes.
LEFT = {
    "JPEG": ("arithmetic coding", "16 scans of 67 megapixels", "1.5 million comments",
             "fill bytes", "200,000 tables", "EXIF in 90 segments", "EXIF fractions"),
    "PNG": ("500,000 chunks", "zTXt of 60 MB", "iCCP, 5,000 times", "EXIF fractions"),
    "WebP": ("EXIF fractions",),
    "GIF": ("a large canvas", "a million comments", "a long comment"),
    "TIFF": ("a tile", "a tile of 67 megapixels", "65,535 tags", "65,535 small tags"),
    "BMP": ("runs", "more than there is"),
}  # fmt: skip


def quick(data: bytes) -> bool:
    return triage.seconds(data, CROP) <= QUICK_S


@pytest.mark.parametrize("form", FORMATS)
def test_ordinary_pictures_are_decoded_by_the_worker(form: str) -> None:
    assert quick(picture(1, form))
    assert quick(encode(Image.new("RGB", (1280, 960)), form))


def test_a_photo_of_a_camera_is_decoded_by_the_worker() -> None:
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "A camera"
    photo = Image.new("RGB", (4032, 3024))
    assert quick(encode(photo, "JPEG", exif=exif, icc_profile=bytes(3000), comment=b"a dog"))
    assert not quick(encode(photo, "JPEG", progressive=True))


def test_a_few_bytes_of_webp_are_left_to_the_lane() -> None:
    assert not quick(solid_webp(2500))


SMALL = ("16 scans of 67 megapixels", "a large canvas", "a tile", "more than there is")


@pytest.mark.parametrize(
    ("form", "name"),
    [
        pytest.param(form, name, marks=[] if name in SMALL else [pytest.mark.slow])
        for form, names in LEFT.items()
        for name in names
    ],
)
def test_costly_pictures_are_left_to_the_lane(form: str, name: str) -> None:
    data = costly.PICTURES[form][name]()
    begun = time.process_time()
    assert not quick(data)
    assert time.process_time() - begun < 0.05, "whatever is in it"


@pytest.mark.parametrize("form", FORMATS)
def test_the_size_is_the_decoders(form: str) -> None:
    for size in ((1, 1), (90, 70), (1000, 3), (257, 511)):
        found = triage._estimate(picture(2, form, size))
        assert (found.width, found.height) == size


@pytest.mark.parametrize("form", FORMATS)
def test_a_damaged_picture_is_left_to_the_lane_or_is_quick(form: str) -> None:
    whole = picture(1, form)
    for cut in range(0, len(whole), 7):
        assert triage.seconds(whole[:cut], CROP) >= 0


def test_a_strip_counts_as_large_as_it_becomes() -> None:
    """255 x 1 pixels are resized to 65,280 x 256."""
    assert triage.seconds(picture(1, "PNG", (255, 1)), CROP) > QUICK_S
    assert triage.seconds(np.zeros((1, 255, 3), np.uint8), CROP) > QUICK_S


def test_arrays_have_a_price() -> None:
    assert 0 < triage.seconds(np.zeros((250, 250, 3), np.uint8), CROP) < QUICK_S
    assert triage.seconds(np.zeros((0, 9, 3), np.uint8), CROP) == math.inf


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMATS)
def test_what_is_quick_is_quick(form: str) -> None:
    """Of noise, which is the slowest to unpack, as much as is still quick."""
    side = 64
    while triage.seconds(_noise(form, 2 * side), CROP) <= QUICK_S and side < 2048:
        side *= 2
    data = _noise(form, side)
    begun = time.process_time()
    CROP(decode(data, at_least=CROP.resize))
    # Three times: the machine can be slower than the one of the figures.
    assert time.process_time() - begun < 3 * QUICK_S


def _noise(form: str, side: int) -> bytes:
    image = costly.noise(side, side, 1 if form == "GIF" else 3)
    buffer = io.BytesIO()
    image.save(buffer, form, **({"lossless": True, "method": 0} if form == "WEBP" else {}))
    return buffer.getvalue()
