import pytest

from serve import contents
from serve.errors import RequestError
from tests.serve.conftest import picture

FORMATS = {
    "image/jpeg": "JPEG",
    "image/png": "PNG",
    "image/webp": "WEBP",
    "image/bmp": "BMP",
    "image/tiff": "TIFF",
    "image/gif": "GIF",
}


@pytest.mark.parametrize(("content_type", "format_"), FORMATS.items())
def test_every_picture_type_is_read(content_type: str, format_: str) -> None:
    image = contents.read(content_type, picture(1, format_), max_pixels=10_000)
    assert (image.mode, image.size) == ("RGB", (90, 70))


@pytest.mark.parametrize(
    "content_type",
    [None, "", "application/x-image", "application/octet-stream", "IMAGE/PNG; name=x.png"],
)
def test_the_bytes_tell_the_format_and_not_the_declared_type(content_type: str | None) -> None:
    assert contents.read(content_type, picture(1), max_pixels=10_000).size == (90, 70)


@pytest.mark.parametrize("content_type", ["text/csv", "application/json", "image/svg+xml", "x"])
def test_another_type_is_refused_with_those_that_are_taken(content_type: str) -> None:
    with pytest.raises(RequestError) as refusal:
        contents.read(content_type, picture(1), max_pixels=10_000)
    assert refusal.value.code == 415
    assert content_type in refusal.value.message
    for known in contents.READERS:
        assert known in refusal.value.hint


@pytest.mark.parametrize(
    ("body", "code", "reason"),
    [
        (b"I am text", 400, "not a picture"),
        (b"", 400, "empty"),
        (picture(1)[:300], 400, "damaged"),
        (b"\0\0\0\x18ftypheic" + bytes(100), 415, "HEIC"),
        (picture(1, "PNG", (101, 100)), 413, "101 x 100"),
    ],
)
def test_bad_bytes_are_refused_with_their_own_status(body: bytes, code: int, reason: str) -> None:
    with pytest.raises(RequestError) as refusal:
        contents.read("image/jpeg", body, max_pixels=10_000)
    assert refusal.value.code == code
    assert reason in refusal.value.message
