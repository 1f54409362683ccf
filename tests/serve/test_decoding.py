"""A request has one budget in pixels, and a worker one in memory."""

import base64
import json
import threading
import time

import numpy as np
import pytest

from pictures.geometry import CentreCrop
from serve.decoding import MemoryGate, parse, read_pictures
from serve.errors import RequestError
from serve.formats.envelopes import Content, Pixels
from serve.front.headers import ACCEPT, CONTENT_TYPE, QUERY
from serve.settings import Settings
from tests import peak
from tests.serve.conftest import picture

CROP = CentreCrop(resize=72, crop=64)
MIB = 2**20


def settings(**limits: int) -> Settings:
    return Settings.from_environment({name: str(value) for name, value in limits.items()})


def read(*pictures: bytes | Pixels, **limits: int) -> tuple[int, ...]:
    content = Content(pictures, is_list=len(pictures) > 1)
    gate = MemoryGate(0)
    return tuple(read_pictures(content, CROP, settings(**limits), gate).shape)


def refused(*pictures: bytes | Pixels, **limits: int) -> RequestError:
    with pytest.raises(RequestError) as refusal:
        read(*pictures, **limits)
    return refusal.value


LIMITS = {"KENNEL_MAX_PIXELS": 10_000, "KENNEL_MAX_REQUEST_PIXELS": 20_000}


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF"])
def test_all_pictures_of_a_request_share_one_budget(form: str) -> None:
    """9,900 pixels each: two are allowed, three are not."""
    one = picture(1, form, (110, 90))
    assert read(one, one, **LIMITS) == (2, 64, 64, 3)
    refusal = refused(one, one, one, **LIMITS)
    assert refusal.code == 422
    assert "29,700 pixels together; at most 20,000" in refusal.message
    assert "KENNEL_MAX_REQUEST_PIXELS" in refusal.hint


def test_the_budget_is_checked_before_anything_is_decoded() -> None:
    large = picture(1, "PNG", (3000, 2000))
    with peak.measured() as measured:
        refused(*[large] * 20)
    assert measured.mib < 16


def test_one_picture_can_always_have_its_own_limit() -> None:
    limits = {"KENNEL_MAX_PIXELS": 10_000, "KENNEL_MAX_REQUEST_PIXELS": 1}
    assert read(picture(1, size=(110, 90)), **limits) == (1, 64, 64, 3)


def test_a_picture_that_is_too_large_is_named_before_the_budget() -> None:
    refusal = refused(picture(1), picture(1, size=(1010, 100)), **LIMITS)
    assert refusal.code == 422
    assert refusal.message.startswith("picture 2: the picture is 1010 x 100 pixels")


@pytest.mark.parametrize("shape", [(1, 2_000_000, 3), (2_000_000, 1, 3), (1, 6_000_000)])
def test_an_array_of_one_row_is_read_in_little_memory(shape: tuple[int, ...]) -> None:
    """Resized to 72 pixels as a whole it would have 31 gigabytes."""
    array = np.zeros(shape, np.uint8)
    with peak.measured() as measured:
        assert read(array) == (1, 64, 64, 3)
    assert measured.mib < 120


def test_an_array_has_the_limits_of_a_picture() -> None:
    refusal = refused(np.zeros((101, 100, 3), np.uint8), **LIMITS)
    assert (refusal.code, "100 x 101 pixels" in refusal.message) == (422, True)
    assert refused(*[np.zeros((90, 110), np.uint8)] * 3, **LIMITS).code == 422


def test_threads_decode_together_what_fits_and_the_others_wait() -> None:
    gate = MemoryGate(0)
    gate.measure()  # 64 MiB: the least
    inside, most, lock = [0], [0], threading.Lock()

    def work(size: int) -> None:
        with gate.taken(size):
            with lock:
                inside[0] += 1
                most[0] = max(most[0], inside[0])
            time.sleep(0.02)
            with lock:
                inside[0] -= 1

    for size, together in ((30 * MIB, 2), (40 * MIB, 1), (900 * MIB, 1), (1 * MIB, 8)):
        most[0] = 0
        threads = [threading.Thread(target=work, args=(size,)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)
        assert most[0] <= together
        assert most[0] == together or together == 8


def test_memory_is_given_back_after_an_error() -> None:
    gate = MemoryGate(0)
    gate.measure()
    for _ in range(3):
        with pytest.raises(ValueError, match="damaged"), gate.taken(64 * MIB):
            raise ValueError("damaged")


def test_an_explained_picture_counts_as_eight() -> None:
    def asked(count: int, **limits: int) -> None:
        photos = [base64.b64encode(picture(1)).decode()] * count
        headers = {
            CONTENT_TYPE: "application/json",
            ACCEPT: "application/json;verbose",
            QUERY: "explain=gradcam",
        }
        parse(headers, json.dumps(photos).encode(), settings(**limits))

    asked(4)
    asked(1, KENNEL_MAX_PICTURES=1)
    asked(12, KENNEL_MAX_PICTURES=100)
    with pytest.raises(RequestError, match="5 pictures to explain") as refusal:
        asked(5)
    assert refusal.value.code == 422
    assert "counts as 8" in refusal.value.hint
