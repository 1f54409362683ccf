"""Hostile bodies: mutated from real formats, and two hundred written by hand.

The tests send them to a worker in this process, benchmarks/serving_hostile.py to a whole server.
"""

import base64
import functools
import gzip
import io
import json
import pickle
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from hypothesis import strategies as st
from PIL import Image

from serve.formats import contents
from tests.serve.conftest import picture
from tests.serve.worker import Request

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF")
ENCODED = [base64.b64encode(picture(n)).decode() for n in range(2)]
FORM = "multipart/form-data; boundary=b"
PART = b'--b\r\nContent-Disposition: form-data; name="p"; filename="p"\r\n\r\n'


def npy(array: Any, *, pickled: bool = False) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=pickled)
    return buffer.getvalue()


LINES = "\n".join(json.dumps({"image": one}) for one in ENCODED)
TWICE = f'{{"image": "{ENCODED[0]}", "parameters": {{"top_k": 1, "top_k": 2}}}}'
TOP_K = b'--b\r\nContent-Disposition: form-data; name="top_k"\r\n\r\n1\r\n'
SEEDS = [
    *((picture(7, name), f"image/{name.lower()}") for name in FORMATS),
    (json.dumps({"images": ENCODED, "parameters": {"top_k": 3}}).encode(), "application/json"),
    (json.dumps(ENCODED[0]).encode(), "application/json"),
    (LINES.encode(), "application/jsonlines"),
    (PART + picture(7) + b"\r\n--b--\r\n", FORM),
    ((PART + picture(7) + b"\r\n--b--\r\n").replace(b"\r\n", b"\n"), FORM),
    (npy(np.zeros((2, 9, 8, 3), np.uint8)), "application/x-npy"),
    (TWICE.encode(), "application/json"),
    (LINES.encode("utf-16"), "application/jsonlines"),
    (TOP_K + TOP_K + PART + picture(7) + b"\r\n--b--\r\n", FORM),
    ((PART + picture(7) + b"\r\n--b--\r\n").replace(b"--b", b"--b=:/?"), f"{FORM}=:/?"),
]
DECLARED = (*contents.READERS, "text/csv", "application/x-npz", "text/plain", f"{FORM}=:/?", "a/b")


@functools.cache
def packed(number: int, megabytes: int) -> bytes:
    """Return a seed with blanks after it in gzip: JSON and pictures may end with some."""
    return gzip.compress(SEEDS[number][0] + b" " * (megabytes * 1_000_000), 1, mtime=0)


@st.composite
def mutated(draw: st.DrawFn, megabytes: Sequence[int] = (0, 10)) -> Request:
    """Change a body in one to four places, and sometimes its declared type.

    One in ten is compressed first, with so many megabytes more when it is unpacked.
    """
    number = draw(st.integers(0, len(SEEDS) - 1))
    body, content_type = SEEDS[number]
    encoding = draw(st.sampled_from([None] * 9 + ["gzip"]))
    data = bytearray(packed(number, draw(st.sampled_from(megabytes))) if encoding else body)
    # Any change damages gzip, which has a checksum: half of them stay whole.
    for _ in range(draw(st.integers(1, 4)) if not encoding or draw(st.booleans()) else 0):
        place = draw(st.integers(0, len(data)))
        # Half of the changes are in the header, where parsers fail most often.
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
    declared = content_type if draw(st.booleans()) else draw(st.sampled_from(DECLARED))
    return Request(bytes(data), declared, encoding=encoding)


def png(
    width: int,
    height: int,
    *chunks: tuple[bytes, bytes],
    depth: int = 8,
    colours: int = 2,
    interlaced: int = 0,
) -> bytes:
    """Return a PNG with any header."""
    shape = struct.pack(">IIBBBBB", width, height, depth, colours, 0, 0, interlaced)
    header = (b"IHDR", shape)
    body = b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in (header, *chunks, (b"IEND", b""))
    )
    return b"\x89PNG\r\n\x1a\n" + body


# These are sent with every content type.
CORE = {
    "a bomb": png(50_000, 50_000, (b"IDAT", zlib.compress(bytes(10_000_000)))),
    "more pixels than declared": png(10, 10, (b"IDAT", zlib.compress(bytes(10_000_000)))),
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


def hand_made() -> dict[str, Request]:
    """Return all bodies written by hand, each with the content type whose reader it attacks."""
    found = {name: Request(body, "application/x-image") for name, body in CORE.items()}
    for kind, bodies in (
        ("application/x-image", (*_cut(), *_false_headers(), *_modes(), *_exif(), *_two_in_one())),
        ("application/x-image", _foreign()),
        ("application/x-npy", _arrays()),
        ("application/json", _json()),
        (FORM, _forms()),
        ("application/jsonlines", _lines()),
    ):
        found |= {name: Request(body, kind) for name, body in bodies}
    return found | _misdeclared()


Bodies = Iterator[tuple[str, bytes]]


def _cut() -> Bodies:
    for name in FORMATS:
        whole = picture(5, name)
        for percent in (2, 10, 30, 50, 70, 90):
            yield f"{name} cut at {percent} %", whole[: len(whole) * percent // 100]
        yield f"{name} without its last byte", whole[:-1]
        yield f"{name} without its first byte", whole[1:]
        yield f"{name} twice", whole * 2


def _false_headers() -> Bodies:
    """Headers that declare more than there is, or more than is sensible."""
    pixels = (b"IDAT", zlib.compress(bytes(30 * 31)))
    for width, height in ((2**31 - 1, 2**31 - 1), (2**32 - 1, 1), (1, 2**31), (2**16, 2**16)):
        yield f"PNG of {width} x {height}", png(width, height, pixels)
    for depth in (0, 3, 255):
        yield f"PNG of {depth} bits", png(10, 10, pixels, depth=depth)
    compressed = zlib.compress(bytes(50_000_000))
    yield "PNG with a profile bomb", png(10, 10, (b"iCCP", b"a\0\0" + compressed), pixels)
    yield "PNG with an iTXt bomb", png(10, 10, (b"iTXt", b"a\0\1\0\0\0" + compressed), pixels)
    yield "PNG with a long text", png(10, 10, (b"tEXt", b"a\0" + b"x" * 900_000), pixels)
    yield "PNG of 5,000 chunks", png(10, 10, *[(b"tEXt", b"a\0b")] * 5000, pixels)
    yield "PNG without pixels", png(10, 10)
    yield "PNG of endless chunks", png(10, 10)[:33] + struct.pack(">I", 2**31 - 1) + b"IDAT"
    jpeg, gif, bmp = bytearray(picture(5)), bytearray(picture(5, "GIF")), picture(5, "BMP")
    frame = jpeg.index(b"\xff\xc0") + 5
    for height, width in ((65535, 65535), (0, 90), (70, 0), (65535, 1)):
        jpeg[frame : frame + 4] = struct.pack(">HH", height, width)
        yield f"JPEG of {width} x {height}", bytes(jpeg)
    application = b"\xff\xe1" + struct.pack(">H", 65535) + bytes(65533)
    yield "JPEG with long headers", picture(5)[:2] + application * 12 + picture(5)[2:]
    yield "JPEG with a long comment", picture(5)[:2] + b"\xff\xfe\xff\xff" + bytes(100)
    gif[6:10] = struct.pack("<HH", 65535, 65535)
    yield "GIF of 65535 x 65535", bytes(gif)
    yield "GIF with a long comment", picture(5, "GIF")[:-1] + b"\x21\xfe" + (b"\xffx" * 9000)
    for width, height in ((2**31 - 1, 1), (-1, 70), (90, -(2**31)), (60_000, 60_000)):
        yield f"BMP of {width} x {height}", bmp[:18] + struct.pack("<ii", width, height) + bmp[26:]
    tags = struct.pack("<HHII", 256, 4, 1, 90) * 3000
    yield "TIFF of 3,000 tags", b"II*\0\x08\0\0\0" + struct.pack("<H", 3000) + tags + bytes(4)
    yield "TIFF whose directory is itself", b"II*\0\x08\0\0\0" + struct.pack("<HI", 0, 8)
    yield "TIFF whose directory is nowhere", b"II*\0" + struct.pack("<I", 2**32 - 1)
    webp = bytearray(picture(5, "WEBP"))
    webp[4:8] = struct.pack("<I", 2**32 - 2)
    yield "WebP of 4 GiB", bytes(webp)


def _modes() -> Bodies:
    """All pixel modes, and files with several pictures."""
    noise = Image.effect_noise((40, 30), 90)
    for mode in ("1", "L", "P", "RGB", "RGBA", "LA", "CMYK", "YCbCr", "I;16", "I", "F", "LAB"):
        for name in FORMATS:
            buffer = io.BytesIO()
            try:
                noise.convert("RGB" if mode in ("YCbCr", "LAB") else "L").convert(mode).save(
                    buffer, name
                )
            except (OSError, ValueError, KeyError):  # a format without this mode
                continue
            yield f"{name} in {mode}", buffer.getvalue()
    for name in ("GIF", "WEBP", "PNG", "TIFF"):
        buffer = io.BytesIO()
        frames = [Image.effect_noise((40, 30), 50 + n).convert("RGB") for n in range(20)]
        frames[0].save(buffer, name, save_all=True, append_images=frames[1:])
        yield f"{name} of 20 pictures", buffer.getvalue()


def _exif() -> Bodies:
    for orientation in (*range(10), 255, 65535):
        exif = Image.Exif()
        exif[0x0112] = orientation
        buffer = io.BytesIO()
        Image.effect_noise((40, 30), 90).convert("RGB").save(buffer, "JPEG", exif=exif)
        yield f"EXIF orientation {orientation}", buffer.getvalue()
    header = b"Exif\0\0II*\0\x08\0\0\0"
    for name, data in {
        "cut": header[:9],
        "of text": b"Exif\0\0" + b"x" * 100,
        "that goes in a circle": header + struct.pack("<HHHIII", 1, 0x8769, 4, 1, 8, 8),
        "of 65535 tags": header + b"\xff\xff" + bytes(500),
        "with text for an orientation": header
        + struct.pack("<HHHI4sI", 1, 0x0112, 2, 4, b"abc", 0),
        "with no end of orientations": header + struct.pack("<HHHII", 1, 0x0112, 3, 2**31, 8),
    }.items():
        segment = b"\xff\xe1" + struct.pack(">H", len(data) + 2) + data
        yield f"EXIF {name}", picture(5)[:2] + segment + picture(5)[2:]


def _two_in_one() -> Bodies:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("../../etc/passwd", "x")
    for name in FORMATS:
        yield f"{name} and ZIP", picture(5, name) + archive.getvalue()
    yield "GIF and JavaScript", b"GIF89a/*" + picture(5, "GIF")[8:] + b"*/=1;alert(1)"
    yield "PHP in a PNG", png(10, 10, (b"tEXt", b"a\0<?php system($_GET[0]); ?>"))
    yield "PDF and JPEG", b"%PDF-1.7\n" + picture(5)
    yield "shell and BMP", b"BM=1;exit\n" + picture(5, "BMP")[10:]
    yield "JPEG in HTML", b"<html>" + picture(5)
    yield "ZIP alone", archive.getvalue()


def _foreign() -> Bodies:
    yield "a gzipped JPEG", gzip.compress(picture(5), mtime=0)
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        tar.addfile(tarfile.TarInfo("model/code.py"))
    yield "a tar", buffer.getvalue()
    yield "a pickle", pickle.dumps(print)
    yield "nothing", b""
    yield "one byte", b"\xff"
    yield "text", b"a beagle"
    for name, magic in {
        "HEIC": b"\0\0\0\x18ftypheic",
        "AVIF": b"\0\0\0\x18ftypavif",
        "JPEG XL": b"\xff\x0a",
        "JPEG 2000": b"\x00\x00\x00\x0cjP  ",
        "Photoshop": b"8BPS\0\1",
        "PDF": b"%PDF-1.7",
        "ELF": b"\x7fELF",
        "Windows metafile": b"\xd7\xcd\xc6\x9a",
        "FITS": b"SIMPLE  =                    T",
        "icon": b"\0\0\1\0\1\0",
        "MP4": b"\0\0\0\x18ftypmp42",
        "EPS in DOS": b"\xc5\xd0\xd3\xc6",
        "DDS": b"DDS ",
    }.items():
        yield name, magic + bytes(200)


def _arrays() -> Bodies:
    yield "npy with a pickle", npy(np.array([print], dtype=object), pickled=True)
    plain = npy(np.zeros((9, 8, 3), np.uint8))
    yield "npy cut", plain[:100]
    yield "npy of no version", plain[:6] + b"\x09\x00" + plain[8:]
    yield "npy with an endless header", plain[:8] + b"\xff\xff" + plain[10:]
    for shape in ("(-1, 8, 3)", "(99999999999999999999,)", "(2,)*9**9", "'x'", "(0, 0, 3)", "()"):
        text = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}}}".ljust(117) + "\n"
        head = plain[:8] + struct.pack("<H", len(text)) + text.encode()
        yield f"npy of shape {shape}", head + bytes(216)
    for kind in ("f4", "i8", "U9", "M8[s]", "c16", "b1"):
        yield f"npy of {kind}", npy(np.zeros((9, 8, 3), kind))
    yield "npy of fields", npy(np.zeros((9, 8), [("a", "u1"), ("b", "u1")]))
    yield "npy of columns", npy(np.zeros((9, 8, 3), np.uint8, order="F"))
    yield "npy of 33 pictures", npy(np.zeros((33, 9, 8, 3), np.uint8))
    yield "npz", b"PK\x03\x04" + plain
    yield "npy of one pixel", npy(np.zeros((1, 1, 3), np.uint8))
    yield "npy, thin", npy(np.zeros((1, 5000, 3), np.uint8))


_ODD: tuple[object, ...] = (
    None, True, 1.5, {}, [], [[]], [None], "", "====", "%%%", {"image": None}, {"images": {}},
    {"image": ENCODED[0], "images": []}, {"images": [ENCODED[0]] * 33}, {"images": [{}]},
    {"image": {"b64": 1}}, {"image": {"url": "http://localhost/"}}, {"__class__": "x"},
    "http://169.254.169.254/latest/meta-data", "file:///etc/passwd", "gopher://x", "ftp://x",
    "data:,x", "data:image/svg+xml;base64,PHN2Zz4=", "data:image/png;base64", "data:;base64,",
    {"image": ENCODED[0], "parameters": []}, {"image": ENCODED[0], "parameters": {"a": 1}},
    {"image": ENCODED[0], "parameters": {"top_k": -1}}, {"parameters": {"top_k": 1}},
    {"image": ENCODED[0], "parameters": {"top_k": 10**30}}, {"inputs": ENCODED[0], "x": 1},
    {"image": ENCODED[0], "parameters": {"threshold": "NaN"}}, ["a" * 100_000] * 3,
    {"image": ENCODED[0], "parameters": {"explain": {"a": []}}}, {"instances": "\0"},
)  # fmt: skip


def _json() -> Bodies:
    deep = 200_000
    yield "JSON, deep lists", b"[" * deep + b"]" * deep
    yield "JSON, deep objects", b'{"image":' * 50_000 + b"1" + b"}" * 50_000
    yield "JSON, a long number", b"1" * 500_000
    yield "JSON, cut", b'{"image": "'
    yield "JSON in UTF-16", json.dumps(ENCODED[0]).encode("utf-16")
    yield "JSON with a mark", b"\xef\xbb\xbf" + json.dumps(ENCODED[0]).encode()
    yield "JSON, half a character", b'"\\ud800"'
    yield "JSON, no UTF-8", b'"\xff\xfe"'
    yield "JSON, a key twice", f'{{"image": 1, "image": "{ENCODED[0]}"}}'.encode()
    for number, given in enumerate(_ODD):
        yield f"JSON {number}: {str(given)[:40]}", json.dumps(given).encode()
    yield "JSON, not a number", b'{"image": NaN}'
    yield "JSON, infinity", b"[Infinity, -Infinity]"


def _lines() -> Bodies:
    yield "lines, none", b""
    yield "lines, blank ones", b"\n \n\r\n" * 30
    yield "lines, many blank ones", b"\n" * 2_000_000
    yield "lines, 5,000", b'""\n' * 5000
    yield "lines, deep", b"[" * 200_000 + b"\n" + b'{"a":' * 50_000
    yield "lines, a long one", b'"' + b"A" * 3_000_000 + b'"\n""'
    yield "lines, not UTF-8", b'"\xff"\n"\xfe"'
    yield "lines, in UTF-16", f"{json.dumps(ENCODED[0])}\n".encode("utf-16")
    yield "lines, a good and a bad one", json.dumps(ENCODED[0]).encode() + b"\nnull"
    yield "lines, one JSON text on many", json.dumps({"image": ENCODED[0]}, indent=1).encode()


def _forms() -> Bodies:
    end = b"\r\n--b--\r\n"
    yield "a form without an end", PART + picture(5)
    yield "a form of nothing", b""
    yield "a form that only ends", b"--b--\r\n"
    yield "a form of 5,000 parts", (PART + b"x\r\n") * 5000 + b"--b--\r\n"
    yield "a form in a form", PART + PART + picture(5) + end + end
    yield "a part without a head", b"--b\r\n\r\n" + picture(5) + end
    yield "a part without a name", b"--b\r\nX: y\r\n\r\n" + picture(5) + end
    yield "a part with a long name", PART.replace(b'"p"', b'"' + b"p" * 9000 + b'"') + b"x" + end
    yield "a form with a path", PART.replace(b'"p"', b'"../../etc/passwd"') + picture(5) + end
    yield "a form with bare newlines", (PART + picture(5) + end).replace(b"\r\n", b"\n")
    yield "a form of another boundary", (PART + picture(5) + end).replace(b"--b", b"--c")
    for encoding in ("base64", "quoted-printable", "x-uuencode", "gzip", "\u00f6"):
        head = PART[:-2] + f"Content-Transfer-Encoding: {encoding}\r\n\r\n".encode()
        yield f"a form in {encoding}", head + b"=3D=" * 50_000 + end
    mixed = PART[:-2] + b"Content-Type: multipart/mixed; boundary=c\r\n\r\n--c\r\n\r\nx\r\n--c--"
    yield "a form with a mixed part", mixed + end
    newlines = (PART + b"\n" * 49_000 + end).replace(b"\r\n", b"\n")
    yield "a form of newlines", newlines
    yield "a form of forms with newlines", newlines[:9] + mixed.replace(b"\r\n", b"\n") * 90
    yield "a form of 40 header lines", b"--b\r\n" + b"X: y\r\n" * 40 + PART[5:] + b"x" + end
    yield (
        "a form with a folded header",
        b"--b\r\nX: y\r\n" + b" z\r\n" * 2000 + PART[5:] + b"x" + end,
    )
    field = b'--b\r\nContent-Disposition: form-data; name="top_k"\r\n\r\n'
    yield "a form of options only", field + b"3" + end
    yield (
        "a form with an invalid option",
        field + b"\xff\0" + b"9" * 5000 + b"\r\n" + PART + b"x" + end,
    )


def _misdeclared() -> dict[str, Request]:
    """Return bodies with a wrong content type."""
    found = {}
    for body, content_type in SEEDS[::3]:
        for declared in ("application/json", FORM, "application/x-npy", "image/gif"):
            if declared != content_type:
                found[f"{content_type} as {declared}"] = Request(body, declared)
    for declared in (
        "text/html", "image/svg+xml", "application/x-www-form-urlencoded", "*/*", "image/", ";",
        "multipart/form-data", 'multipart/form-data; boundary="', "multipart/form-data; boundary=",
        "image/jpeg; charset=utf-7", "a" * 2000, "image/jpeg, image/png", "application/pickle",
        "multipart/form-data; boundary=" + "b" * 2000, "application/json; charset=utf-16",
    ):  # fmt: skip
        found[f"a JPEG as {declared[:60]}"] = Request(picture(5), declared)
    return found
