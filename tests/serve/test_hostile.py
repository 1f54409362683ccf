"""Bodies that nobody should send: each gets an answer of ours, and the worker goes on.

Two thousand generated ones here, from pictures of every format and from the other kinds of body.
"""

import base64
import io
import json
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mms.service import Service
from PIL import Image

from serve import contents
from tests.serve.conftest import picture
from tests.serve.test_handler import environment
from tests.serve.worker import Reply, Request, ask, load

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF")
ENCODED = [base64.b64encode(picture(n)).decode() for n in range(2)]


def npy() -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.zeros((2, 9, 8, 3), np.uint8))
    return buffer.getvalue()


SEEDS = [
    *((picture(7, name), f"image/{name.lower()}") for name in FORMATS),
    (json.dumps({"images": ENCODED, "parameters": {"top_k": 3}}).encode(), "application/json"),
    (json.dumps(ENCODED[0]).encode(), "application/json"),
    (
        b'--b\r\nContent-Disposition: form-data; name="p"; filename="p"\r\n\r\n'
        + picture(7)
        + b"\r\n--b--\r\n",
        "multipart/form-data; boundary=b",
    ),
    (npy(), "application/x-npy"),
]


@pytest.fixture(scope="module")
def worker(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    run_dir = tmp_path_factory.mktemp("run") / "r"
    with pytest.MonkeyPatch.context() as monkeypatch:
        environment(monkeypatch, trained, run_dir)
        yield load(run_dir / "empty")


def check(reply: Reply) -> None:
    assert reply.status in (200, 400, 406, 415, 422), reply.body
    if reply.status != 200:
        assert set(reply.json()) == {"code", "message", "hint", "request_id"}
        assert len(reply.body) < 2000, "no answer repeats what was sent"


@st.composite
def mutated(draw: st.DrawFn) -> Request:
    body, content_type = draw(st.sampled_from(SEEDS))
    data = bytearray(body)
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, len(data)))
        # Headers are where readers go astray, so half of the changes are there.
        place = place if draw(st.booleans()) else place % 64
        kind = draw(st.sampled_from(["flip", "cut", "drop", "insert", "number"]))
        if kind == "flip" and place < len(data):
            data[place] ^= 1 << draw(st.integers(0, 7))
        elif kind == "cut":
            del data[place:]
        elif kind == "drop":
            del data[place : place + draw(st.integers(1, 40))]
        elif kind == "insert":
            data[place:place] = draw(st.binary(max_size=20))
        elif kind == "number":
            extreme = draw(st.sampled_from([0, 1, 0x7FFFFFFF, 0xFFFFFFFF, 0xFFFF]))
            data[place : place + 4] = struct.pack(draw(st.sampled_from(["<I", ">I"])), extreme)
    declared = draw(st.sampled_from([content_type] * 3 + list(contents.READERS)))
    return Request(bytes(data), declared)


@pytest.mark.filterwarnings("ignore")  # Pillow warns of much that is wrong with them
@settings(max_examples=250, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(mutated(), min_size=8, max_size=8))
def test_mutated_bodies_are_answered(worker: Service, requests: list[Request]) -> None:
    code, replies = ask(worker, *requests)
    assert (code, len(replies)) == (200, 8)
    for reply in replies:
        check(reply)


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.text(max_size=60).filter(lambda text: "\0" not in text),
    st.text(max_size=60),
    st.text(max_size=60),
)
def test_any_header_is_answered(
    worker: Service, content_type: str, accept: str, query: str
) -> None:
    _, (reply,) = ask(worker, Request(picture(1), content_type, accept, query))
    check(reply)


def png(width: int, height: int, *chunks: tuple[bytes, bytes]) -> bytes:
    """Return a PNG whose header says what it likes."""
    header = (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    body = b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in (header, *chunks, (b"IEND", b""))
    )
    return b"\x89PNG\r\n\x1a\n" + body


HAND_MADE = {
    "a bomb": png(50_000, 50_000, (b"IDAT", zlib.compress(bytes(10_000_000)))),
    "more pixels than it says": png(10, 10, (b"IDAT", zlib.compress(bytes(10_000_000)))),
    "a text bomb": png(9, 9, (b"zTXt", b"a\0\0" + zlib.compress(bytes(100_000_000)))),
    "no size": png(0, 0, (b"IDAT", zlib.compress(b""))),
    "SVG": b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>',
    "HTML": b"<html><script>alert(1)</script></html>",
    "XML entities": b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "b">]><a>&b;</a>',
    "PostScript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(x) run\n",
    "gzip": b"\x1f\x8b\x08" + bytes(50),
    "a shell script": b"#!/bin/sh\ntouch /tmp/x\n",
    "zeros": bytes(100_000),
    "a JPEG and HTML": picture(1) + b"<html></html>",
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", HAND_MADE)
def test_hand_made_bodies_are_answered_under_every_type(worker: Service, name: str) -> None:
    _, replies = ask(worker, *(Request(HAND_MADE[name], kind) for kind in contents.READERS))
    for reply in replies:
        check(reply)
    good = name in ("a JPEG and HTML", "more pixels than it says")  # what follows is left alone
    assert (replies[0].status == 200) == good


@pytest.mark.filterwarnings("ignore")
def test_memory_does_not_grow_with_bad_requests(worker: Service) -> None:
    requests = [Request(body) for body in HAND_MADE.values()]
    buffer = io.BytesIO()
    Image.effect_noise((2000, 1500), 90).convert("RGB").save(buffer, "JPEG")
    requests.append(Request(buffer.getvalue()[:-9000]))
    for _ in range(3):
        ask(worker, *requests)
    before = psutil.Process().memory_info().rss
    for _ in range(30):
        ask(worker, *requests)
    assert psutil.Process().memory_info().rss - before < 50e6
