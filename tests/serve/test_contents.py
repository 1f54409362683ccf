import base64
import gzip
import io
import json
import pickle
import time
import tracemalloc
import zlib

import numpy as np
import pytest

from pictures.decoder import ImageError, decode
from serve.errors import RequestError
from serve.formats import contents
from serve.formats.encodings import undo
from serve.formats.envelopes import Content
from tests.serve.conftest import picture
from tests.serve.hostile import png

FORMATS = ("jpeg", "jpg", "png", "webp", "bmp", "tiff", "gif")


def read(content_type: str | None, body: bytes) -> Content:
    return contents.read(content_type, body, max_pictures=3)


def refused(content_type: str | None, body: bytes) -> RequestError:
    with pytest.raises(RequestError) as refusal:
        read(content_type, body)
    assert refusal.value.hint
    return refusal.value


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def npy(array: np.ndarray[tuple[int, ...], np.dtype[np.generic]], **how: bool) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, **how)
    return buffer.getvalue()


def _npy_of_shape(shape: str) -> bytes:
    header = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}}}\n".encode()
    return b"\x93NUMPY\1\0" + len(header).to_bytes(2, "little") + header + bytes(12)


@pytest.mark.parametrize(
    "content_type",
    [
        None,
        "",
        "application/x-image",
        "application/octet-stream",
        "IMAGE/PNG; name=x.png",
        *(f"image/{name}" for name in FORMATS),
    ],
)
def test_a_body_can_be_a_picture(content_type: str | None) -> None:
    assert read(content_type, b"anything") == Content((b"anything",))


@pytest.mark.parametrize("content_type", ["text/csv", "image/svg+xml", "x"])
def test_an_unknown_type_is_refused_and_the_known_ones_are_named(content_type: str) -> None:
    refusal = refused(content_type, b"")
    assert refusal.code == 415
    assert content_type in refusal.message
    for known in contents.READERS:
        assert known in refusal.hint


@pytest.mark.parametrize(
    "given",
    [
        b64(b"one"),
        f"data:image/png;base64,{b64(b'one')}",
        {"image": b64(b"one")},
        {"inputs": f"{b64(b'one')[:2]}\n{b64(b'one')[2:]}"},
        {"inputs": {"b64": b64(b"one")}},
    ],
)
def test_json_can_have_one_picture(given: object) -> None:
    assert read("application/json", json.dumps(given).encode()) == Content((b"one",))


@pytest.mark.parametrize(
    "given",
    [
        [b64(b"one"), b64(b"two")],
        {"images": [b64(b"one"), b64(b"two")]},
        {"instances": [{"b64": b64(b"one")}, {"data": b64(b"two")}]},
    ],
)
def test_json_can_have_several_pictures(given: object) -> None:
    content = read("application/json", json.dumps(given).encode())
    assert content == Content((b"one", b"two"), is_list=True)


def test_json_can_have_parameters() -> None:
    body = {"images": [b64(b"one")], "parameters": {"top_k": 2}}
    content = read("application/json; charset=utf-8", json.dumps(body).encode())
    assert content == Content((b"one",), is_list=True, parameters={"top_k": 2})


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"{", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"1" * 10_000, "not JSON"),
        (b"null", "not a string"),
        (b"{}", "one of image"),
        (b'{"image": "", "images": []}', "one of image"),
        (b'{"image": "", "url": "x"}', "'url'"),
        (b'{"images": []}', "no picture"),
        (b'["", [""]]', "picture 2 is not a string"),
        (b'"not base64!"', "not base64"),
        ('"ö"'.encode(), "not base64"),
        (b'"data:image/png,abc"', ";base64,"),
        (b'{"image": "", "parameters": 3}', "must be an object"),
        (b'"http://169.254.169.254/latest"', "fetches nothing"),
        (b'["s3://bucket/key"]', "fetches nothing"),
        (b'"file:///etc/passwd"', "fetches nothing"),
    ],
)
def test_json_without_a_picture_is_refused(body: bytes, reason: str) -> None:
    refusal = refused("application/json", body)
    assert refusal.code == 400
    assert reason in refusal.message


FORM = "multipart/form-data; boundary=edge"


def part(head: str, value: bytes) -> bytes:
    return f"--edge\r\nContent-Disposition: form-data; {head}\r\n\r\n".encode() + value + b"\r\n"


def test_a_form_has_pictures_and_parameters() -> None:
    photo = part('name="picture"; filename="a.jpg"\r\nContent-Type: image/jpeg', b"\r\none--edge")
    field = part('name="top_k"', b"3")
    assert read(FORM, photo + field + b"--edge--\r\n") == Content(
        (b"\r\none--edge",), parameters={"top_k": "3"}
    )
    left_empty = part('name="threshold"', b"") + part('name="explain"', b" ")
    assert read(FORM, photo + left_empty + field + b"--edge--\r\n").parameters == {"top_k": "3"}
    both = read(FORM, b"--edge--"[:0] + photo + photo + b"--edge--")
    assert both.is_list
    assert len(both.pictures) == 2


@pytest.mark.parametrize(
    ("header", "body", "reason"),
    [
        (FORM, b"--x", "begins with '--x'"),
        (FORM, part('name="a"; filename="b"', b"cut"), "damaged"),
        ("multipart/form-data", part('name="a"', b"") + b"--edge--", "no boundary"),
        (FORM, part("size=3", b"") + b"--edge--", "no name"),
        (FORM, part('name="top_k"', b"1") + b"--edge--", "no picture"),
        (FORM, b"before\r\n--edge--", "no picture"),
        (FORM, b"--edge--", "no picture"),
    ],
)
def test_a_damaged_form_is_refused(header: str, body: bytes, reason: str) -> None:
    refusal = refused(header, body)
    assert refusal.code == 400
    assert reason in refusal.message


@pytest.mark.parametrize("shape", [(4, 5), (4, 5, 3), (2, 4, 5, 3)])
def test_an_array_has_pixels(shape: tuple[int, ...]) -> None:
    array = np.arange(np.prod(shape), dtype=np.uint8).reshape(shape)
    content = read("application/x-npy", npy(array))
    assert content.is_list == (len(shape) == 4)
    assert len(content.pictures) == (2 if len(shape) == 4 else 1)
    np.testing.assert_array_equal(np.stack(content.pictures).reshape(shape), array)


class _Trap:
    def __reduce__(self) -> tuple[object, ...]:
        return (exec, ("raise SystemExit('unpickled')",))


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", 400),
        (b"\x93NUMPY", 400),
        (npy(np.zeros((4, 5), np.uint8))[:-1], 400),
        (npy(np.zeros((4, 5), np.uint8)) + b"x", 400),
        (npy(np.array([_Trap()], dtype=object), allow_pickle=True), 415),
        (pickle.dumps(_Trap()), 400),
        (npy(np.zeros((4, 5), np.float32)), 415),
        (npy(np.zeros((4, 5, 4), np.uint8)), 415),
        (npy(np.zeros((0, 5), np.uint8)), 415),
        (npy(np.zeros((4, 5), np.uint8)).replace(b"(4, 5)", b"(4**9**9, 5)"), 400),
        (_npy_of_shape(f"(0x{'f' * 8000}, 2, 2, 3)"), 400),  # too long to write in decimals
        (_npy_of_shape(f"(-0x{'f' * 8000}, 3)"), 400),
        (_npy_of_shape(f"({'1,' * 1000})"), 400),
        (npy(np.zeros((4, 5), np.uint8)).replace(b"(4, 5), }    ", b"(9999999999, 99), }"), 400),
    ],
)
def test_an_array_that_is_not_a_picture_is_refused_and_never_unpickled(
    body: bytes, code: int
) -> None:
    assert refused("application/x-npy", body).code == code


def test_too_many_pictures_are_refused() -> None:
    assert read("application/json", json.dumps([""] * 3).encode()).is_list
    assert refused("application/json", json.dumps([""] * 4).encode()).code == 422


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/json", b"[" + b'"",' * 1_900_000 + b'""]'),
        (
            "application/json",
            json.dumps({"image": "", "parameters": dict.fromkeys(range(400_000), 1)}).encode(),
        ),
        ("application/json", json.dumps(["AAAA"] * 4).encode()),
        (FORM, part('name="p"; filename="p"', b"x") * 60_000 + b"--edge--"),
        (FORM, part('name="top_k"', b"1") * 60_000 + b"--edge--"),
        (FORM, part('name="p"; filename="p"', b"x") * 4 + b"--edge--"),
        ("application/x-npy", npy(np.zeros((2_000_000, 1, 1, 3), np.uint8))),
        ("application/x-npy", npy(np.zeros((4, 1, 1, 3), np.uint8))),
    ],
    ids=lambda value: None if isinstance(value, str) else f"{len(value)} bytes",
)
def test_pictures_and_values_are_counted_before_objects_are_built(
    content_type: str, body: bytes
) -> None:
    tracemalloc.start()
    try:
        refusal = refused(content_type, body)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert refusal.code == 422
    assert "in one request; at most 3" in refusal.message
    assert peak < 2.5 * len(body) + 1e5


@pytest.mark.parametrize(
    ("body", "code", "reason"),
    [
        (b"I am text", 400, "picture 2: "),
        (picture(1)[:300], 400, "damaged"),
        (b"\0\0\0\x18ftypheic" + bytes(100), 415, "HEIC"),
        (picture(1, "PNG", (101, 100)), 422, "101 x 100"),
        (png(30_000, 30_000, (b"IDAT", b"")), 422, "too many pixels (900,000,000)"),
    ],
)
def test_a_bad_picture_has_its_own_status(body: bytes, code: int, reason: str) -> None:
    with pytest.raises(ImageError) as error:
        decode(body, max_pixels=10_000)
    refusal = contents.picture_error(error.value, "picture 2: ")
    assert refusal.code == code
    assert reason in refusal.message
    assert ("KENNEL_MAX_PIXELS" in refusal.hint) == (code == 422)


def test_bytes_are_named_at_once_whatever_they_repeat() -> None:
    """A pattern that goes back would try every split of many comments: years."""
    start = time.perf_counter()
    for unit in (b"<!---->", b"<!--", b"/9j/", b"<?xml", b"../", b"\n", b"{ "):
        assert refused("x/y", unit * 2000 + b"!").code in (400, 415)
    assert time.perf_counter() - start < 2


def test_a_compressed_body_is_restored() -> None:
    packed = gzip.compress(b"one", mtime=0)
    for encoding in (None, "", "identity", "IDENTITY"):
        assert undo(encoding, b"one", 3) == b"one"
    for encoding in ("gzip", "x-gzip", "GZip", "identity, gzip"):
        assert undo(encoding, packed, 3) == b"one"
        assert undo(encoding, packed + bytes(9), 3) == b"one"  # padding


@pytest.mark.parametrize(
    ("encoding", "body", "code", "reason"),
    [
        ("deflate", zlib.compress(b"one"), 415, "'deflate'"),
        ("br", b"", 415, "'br'"),
        ("gzip, gzip", b"", 415, "'gzip, gzip'"),
        ("gzip", b"one", 400, "is not gzip"),
        ("gzip", b"", 400, "cut short"),
        ("gzip", gzip.compress(b"one", mtime=0)[:-1], 400, "cut short"),
        (
            "gzip",
            gzip.compress(b"one", mtime=0)[:-5] + b"\1" + gzip.compress(b"one", mtime=0)[-4:],
            400,
            "gzip",
        ),
        ("gzip", gzip.compress(b"one", mtime=0) * 2, 400, "more bytes"),
        ("gzip", gzip.compress(b"four", mtime=0), 422, "larger than 3 bytes"),
    ],
)
def test_an_encoding_that_cannot_be_undone_is_refused(
    encoding: str, body: bytes, code: int, reason: str
) -> None:
    with pytest.raises(RequestError) as error:
        undo(encoding, body, 3)
    assert error.value.code == code
    assert reason in error.value.message


def test_a_bomb_is_not_unpacked() -> None:
    bomb = gzip.compress(bytes(200 * 2**20), 1, mtime=0)
    tracemalloc.start()
    with pytest.raises(RequestError, match="when it is unpacked"):
        undo("gzip", bomb, 2**20)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4 * 2**20


def test_lines_are_counted_before_they_are_read() -> None:
    assert refused("application/jsonlines", b"\n" * 1000).code == 422
    assert refused("application/jsonlines", b'""\n' * 4).code == 422
    assert refused("application/jsonlines", b"{" + b'"a":1,' * 1000 + b"}").code == 422
    assert (
        refused("application/jsonlines", b"\n \n").message == "there is no picture in the request"
    )
    several = json.dumps([b64(b"one")] * 2).encode() + b'\n{"images": [""]}'
    content = read("application/x-ndjson; charset=utf-8", several)
    assert content.pictures == (b"",)
    assert "line 1 has several pictures" in content.line_errors[0].message


@pytest.mark.parametrize("blank", ["", " ", "\t"])
def test_a_form_of_bare_newlines_keeps_its_bytes(blank: str) -> None:
    head = b'--edge\nContent-Disposition: form-data; name="p"; filename="p"\n\n'
    end = f"\n--edge--{blank}\n".encode()
    photo = bytes(range(256)) * 9
    assert read(FORM, b"\n" + head + photo + end).pictures == (photo,)
    assert read(FORM, head + photo + b"\r" + end).pictures == (photo + b"\r",)
    many = b"\r\n" * 200_000
    second = head.replace(b"edge\n", f"edge{blank}\n".encode())
    assert read(FORM, head + many + b"\n" + second + end).pictures == (many, b"")
    for damaged in (head + photo, head + photo + b"\n--edges\n" + end, head[:-1] + end):
        assert refused(FORM, damaged).code == 400


@pytest.mark.parametrize("kind", ["multipart/mixed; boundary=x", "message/rfc822"])
def test_a_part_of_a_form_is_not_parsed_again(kind: str) -> None:
    """Forms in forms take the email parser seconds, and headers of 6 MB in them minutes."""
    inner = f"Content-Type: {kind}\n\n--x\n" * 5_000
    head = f'--edge\nContent-Disposition: form-data; name="p"; filename="p"\n{inner}'
    form = f"{head}\n--edge--\n".encode()
    if kind.startswith("multipart"):
        assert "is a form itself" in refused(FORM, form).message
    else:
        content = inner.partition("\n\n")[2].encode()
        assert read(FORM, form).pictures == (content,)


def test_the_headers_of_a_part_are_bounded() -> None:
    many = "".join(f"X-{n}: y\r\n" for n in range(20)) + 'name="p"; filename="p"'
    head = f"--edge\r\n{many}\r\n\r\n".encode()
    assert refused(FORM, head + b"x\r\n--edge--").code == 422
    long = part(f'name="p"; filename="{"n" * 5000}"', b"x")
    assert refused(FORM, long + b"--edge--").code == 422
