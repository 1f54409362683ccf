"""Bodies under the types of other bodies: they are read, or the error says what the bytes are."""

import base64
import gzip
import io
import json

import numpy as np
import pytest

from serve.errors import RequestError
from serve.formats import contents
from serve.formats.envelopes import Content
from tests.serve.conftest import picture

ONE = picture(1)
B64 = base64.b64encode(ONE)
PIXELS = np.zeros((9, 8, 3), np.uint8)
HEIC = b"\0\0\0\x18ftypheic" + bytes(90)
OBJECT = json.dumps({"image": B64.decode()}).encode()
FORM = (
    b'--x\r\nContent-Disposition: form-data; name="p"; filename="a.jpg"\r\n\r\n'
    + ONE
    + b"\r\n--x--\r\n"
)
# Types that say nothing about the format that is read, those of pictures among them.
UNTOLD = [
    None,
    "",
    "image/jpeg",
    "image/heic",
    "IMAGE/PNG; name=x",
    '"image/jpeg"',
    "image/jpeg, application/json",
    "text/plain;charset=UTF-8",
    "*/*",
    "application/numpy",
    "application/octet-stream;verbose",
    "application/x-image",
    "application/x-www-form-urlencoded",
    "application/vnd.api+json",
]
TOLD = {
    "application/json": "JSON",
    "application/jsonlines": "JSON",
    "application/x-npy": "a numpy array",
    "multipart/form-data; boundary=x": "a form",
    "multipart/related; boundary=x": "",
    "text/csv": "",
    "application/x-recordio-protobuf": "",
    "tensor/pt": "",
}
BODIES = {
    "a JPEG picture": ONE,
    "a numpy array": b"",
    "JSON": OBJECT,
    "a form": FORM,
    "compressed with gzip": gzip.compress(ONE, mtime=0),
    "a HEIC picture": HEIC,
    "an HTML page": b"<!doctype html><html>",
    "a picture in base64": B64,
    "a data: address in base64": b"data:image/jpeg;base64," + B64,
}


def npy(array: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


BODIES["a numpy array"] = npy(PIXELS)


def read(content_type: str | None, body: bytes) -> Content:
    return contents.read(content_type, body, max_pictures=3)


@pytest.mark.parametrize("content_type", UNTOLD)
def test_the_bytes_decide_where_the_type_names_no_reader(content_type: str | None) -> None:
    assert read(content_type, ONE).pictures == (ONE,)
    assert read(content_type, OBJECT).pictures == (ONE,)
    assert read(content_type, b" " * 500 + OBJECT).pictures == (ONE,)
    (pixels,) = read(content_type, npy(PIXELS)).pictures
    assert np.array_equal(pixels, PIXELS)
    with pytest.raises(RequestError) as refusal:
        read(content_type, FORM)
    assert refusal.value.code == 415
    assert "are a form" in refusal.value.message
    assert "with its boundary" in refusal.value.hint


@pytest.mark.parametrize("content_type", TOLD)
def test_the_error_names_the_bytes_that_its_type_does_not(content_type: str) -> None:
    for name, body in BODIES.items():
        if name == TOLD[content_type]:
            assert len(read(content_type, body).pictures) == 1
            continue
        with pytest.raises(RequestError) as refusal:
            read(content_type, body)
        assert refusal.value.code in (400, 415), name
        assert name in refusal.value.message
        assert content_type.partition(";")[0] in refusal.value.message
        assert refusal.value.hint


@pytest.mark.parametrize("content_type", UNTOLD)
@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-be", "utf-32", "utf-32-le"])
def test_json_in_unicode_is_read_whatever_its_type(content_type: str | None, encoding: str) -> None:
    """PowerShell's `Out-File` writes UTF-16, and its `-InFile` sends no type of its own."""
    assert read(content_type, OBJECT.decode().encode(encoding)).pictures == (ONE,)
    with pytest.raises(RequestError, match="lists of numbers"):
        read(content_type, '{"image": [[1, 2]]}'.encode(encoding))
    with pytest.raises(RequestError, match=r"text/csv.* JSON"):
        read("text/csv", OBJECT.decode().encode(encoding))


def test_an_array_of_a_picture_s_bytes_is_named() -> None:
    """`numpy.fromfile("photo.jpg", numpy.uint8)` with the SDK's NumpySerializer."""
    for wrapped in (np.frombuffer(ONE, np.uint8), np.array([bytearray(ONE)])):
        with pytest.raises(RequestError, match="a JPEG picture") as refusal:
            read("application/x-npy", npy(wrapped))
        assert "image/jpeg" in refusal.value.hint
    with pytest.raises(RequestError, match="not one of pictures"):
        read("application/x-npy", npy(np.zeros(99, np.uint8)))


@pytest.mark.parametrize(
    "text", ["C:\\photos\\dog.jpg", "/home/me/dog.PNG", "dog.webp", "./a b.tiff "]
)
def test_the_name_of_a_file_is_no_base64_and_no_url(text: str) -> None:
    for value in (text, [text], {"instances": [{"b64": text}]}):
        with pytest.raises(RequestError, match="the name of a file") as refusal:
            read("application/json", json.dumps(value).encode())
        assert "base64" in refusal.value.hint


def test_bytes_of_the_named_format_keep_the_error_of_their_reader() -> None:
    for content_type, body, words in (
        ("application/json", b'{"image": 3}', "not a string"),
        ("application/json", b"", "not JSON"),
        ("application/x-npy", npy(PIXELS)[:-1], "cut short"),
        ("application/x-npy", b"PK\3\4" + bytes(99), "numpy.savez"),
        ("application/x-npz", b"PK\3\4" + bytes(99), "sparse matrices"),
        ("multipart/form-data; boundary=y", FORM, "begins with '--x'"),
        ("text/csv", b'"a","b"\n1,2\n', "rows of numbers"),
        ("text/csv", b"1,2,3\n", "rows of numbers"),
    ):
        with pytest.raises(RequestError, match=words):
            read(content_type, body)


def test_a_shape_of_truth_values_is_one_of_integers() -> None:
    """numpy's check of a header takes True for an integer, and its reshape does not."""
    body = npy(np.zeros((1, 1, 3), np.uint8)).replace(b"(1, 1, 3), }   ", b"(True, 1, 3), }")
    (pixels,) = read("application/x-npy", body).pictures
    assert np.asarray(pixels).shape == (1, 1, 3)


@pytest.mark.parametrize("boundary", ["----=_Part_0_1.2", "a:b/c?d", "'x'", " x"])
def test_a_boundary_needs_no_quotes(boundary: str) -> None:
    body = FORM.replace(b"--x", b"--" + boundary.strip(" '").encode())
    assert read(f"multipart/form-data; boundary={boundary}", body).pictures == (ONE,)
    assert read(f"multipart/form-data; Boundary={boundary}; charset=utf-8", body).pictures


def test_a_form_without_a_picture_names_its_fields() -> None:
    body = b'--x\r\nContent-Disposition: form-data; name="img"\r\n\r\n' + B64 + b"\r\n--x--"
    with pytest.raises(RequestError, match="'img'") as refusal:
        read("multipart/form-data; boundary=x", body)
    assert "curl -F" in refusal.value.hint
