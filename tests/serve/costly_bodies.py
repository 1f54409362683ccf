"""The most expensive requests that we know whose body is not one picture. See `costly.py`."""

import base64
import gzip
import json
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from PIL import Image

from tests.pictures.test_images import encode, progressive, solid_webp
from tests.serve import costly
from tests.serve.conftest import picture
from tests.serve.costly import MOST
from tests.serve.hostile import FORM, PART, npy, png

JSON, NPY, LINES = "application/json", "application/x-npy", "application/jsonlines"


@dataclass(frozen=True)
class Costly:
    """A request: where it belongs in the table, and what is sent."""

    group: str
    name: str
    body: Callable[[], bytes]
    content_type: str
    headers: dict[str, str] = field(default_factory=dict)
    query: str = ""


def _b64(body: bytes) -> str:
    return base64.b64encode(body).decode()


def _several(body: bytes, count: int) -> bytes:
    return json.dumps([_b64(body)] * count).encode()[: MOST + 2**12]


def _strip(width: int) -> bytes:
    return png(width, 1, (b"IDAT", zlib.compress(bytes(1 + 3 * width))))


def _gzip(size: int) -> bytes:
    packer = zlib.compressobj(9, wbits=31)
    parts = [packer.compress(bytes(2**20)) for _ in range(size >> 20)]
    return b"".join(parts) + packer.flush()


def _png_2_megapixels() -> bytes:
    return encode(Image.new("RGB", (1448, 1448)), "PNG")


def _bare(name: bytes, content: bytes = b"x") -> bytes:
    """Return a form whose lines end with a newline alone."""
    head = b'--b\nContent-Disposition: form-data; name="p"; filename="' + name + b'"\n'
    return head + b"\n" + content + b"\n--b--\n"


def _nested(level: int) -> bytes:
    return b"Content-Type: multipart/mixed; boundary=n%d\n\n--n%d" % (level, level)


def _dispositions(parts: int) -> bytes:
    head = PART.replace(b"\r\n\r\n", b";" * 3900 + b"\r\n\r\n")
    return (head + b"x\r\n") * parts + b"--b--\r\n"


EXPLAINED = {"Accept": "application/json;verbose"}
ARRAYS = {
    "a row": lambda: npy(np.zeros((1, 2_000_000, 3), np.uint8)),
    "a column": lambda: npy(np.zeros((2_000_000, 1, 3), np.uint8)),
    "32 strips": lambda: npy(np.zeros((32, 1, 255, 3), np.uint8)),
    "32 pictures": lambda: npy(np.zeros((32, 250, 250, 3), np.uint8)),
    "6 megapixels": lambda: npy(np.zeros((2500, 2500), np.uint8)),
}
VALUES = {
    "1.9 million strings": lambda: b"[" + b'"",' * 1_900_000 + b'""]',
    "2 million numbers": lambda: b"[" + b"0," * 2_000_000 + b"0]",
    "deep lists": lambda: b"[" * 3_000_000 + b"]" * 3_000_000,
    "deep objects": lambda: b'{"a":' * 1_000_000 + b"1" + b"}" * 1_000_000,
    "a long number": lambda: b"1" * MOST,
    "a string of escapes": lambda: b'"' + b"\\u0041" * (MOST // 6) + b'"',
    "spaces in base64": lambda: b'"' + b" " * (MOST - 10) + b'"',
    "spaces": lambda: b" " * MOST,
    "400,000 parameters": lambda: json.dumps(
        {"image": "", "parameters": {str(n): 0 for n in range(400_000)}}
    ).encode(),
    "a key again and again": lambda: b"{" + b'"image":"",' * 500_000 + b'"image":""}',
    "32 PNGs of 2 megapixels": lambda: _several(_png_2_megapixels(), 32),
    "32 strips": lambda: _several(_strip(255), 32),
    "32 JPEGs of 600 scans": lambda: _several(progressive((1000, 1000), 600), 32),
    "32 JPEGs of 100 scans": lambda: _several(progressive((1400, 1400), 100), 32),
    "2 WebPs of 67 megapixels": lambda: _several(solid_webp(costly.SIDE), 2),
    "32 WebPs of 2 megapixels": lambda: _several(solid_webp(1448), 32),
    "1,000 pictures": lambda: _several(picture(1), 1000),
    "escapes in a data URL": lambda: b'"data:image/png;base64,' + b"%41" * (MOST // 3 - 20) + b'"',
}
FORMS = {
    "300,000 parts": lambda: (PART + b"\r\n") * 60_000 + b"--b--\r\n",
    "a part of boundaries": lambda: PART + b"\r\n--a" * 1_500_000 + b"\r\n--b--\r\n",
    "a head of 6 MB": lambda: PART[:-4] + b"\r\nX: y" * 1_000_000 + b"\r\n\r\nx\r\n--b--\r\n",
    "32 PNGs of 2 megapixels": lambda: (PART + _png_2_megapixels() + b"\r\n") * 32 + b"--b--\r\n",
    "line ends": lambda: b"--b\r\n" + b"\r\n" * 3_000_000,
    "a head of 6 MB, bare newlines": lambda: _bare(b"a;" * (MOST // 2 - 200)),
    "130 dispositions of semicolons": lambda: _dispositions(130),
    "forms in a form": lambda: _bare(b"", b"\n".join(_nested(level) for level in range(8000))),
}
ENCODED = {
    "6 GB in gzip": lambda: _gzip(6 * 2**30)[:MOST],
    "gzip in gzip": lambda: gzip.compress(_gzip(2**30), mtime=0),
    "300,000 empty gzips": lambda: gzip.compress(b"", mtime=0) * 300_000,
}
LINED = {
    "6 million empty lines": lambda: b"\n" * MOST,
    "400,000 lines": lambda: b'{"image":""}\n' * 400_000,
    "32 PNGs of 2 megapixels": lambda: b"\n".join(
        [json.dumps({"image": _b64(_png_2_megapixels())}).encode()] * 32
    ),
    "3 million open lists": lambda: (b"[" * 100_000 + b"\n") * 30,
}


def everything() -> list[Costly]:
    """Return all costly requests; each makes its body when it is called."""
    found = [
        Costly(form, name, body, f"image/{form.lower()}")
        for form, bodies in costly.PICTURES.items()
        for name, body in bodies.items()
    ]
    for group, kind, bodies in (
        ("npy", NPY, ARRAYS), ("JSON", JSON, VALUES), ("form", FORM, FORMS),
        ("JSON Lines", LINES, LINED),
    ):  # fmt: skip
        found += [Costly(group, name, body, kind) for name, body in bodies.items()]
    found += [
        Costly("gzip", name, body, "image/png", {"Content-Encoding": "gzip"})
        for name, body in ENCODED.items()
    ]
    found += [
        Costly("Grad-CAM", f"{count} pictures", _explained(count), JSON, EXPLAINED, _EXPLAIN)
        for count in (4, 32)
    ]
    numbers = b"0.5," * (MOST // 4)
    found += [
        Costly("CSV", "6 MB of numbers", lambda: numbers, "text/csv"),
        Costly("unknown", "6 MB of numbers", lambda: numbers, "application/octet-stream"),
        Costly("unknown", "6 MB of zeros", lambda: bytes(MOST), "application/x-thing"),
        Costly("unknown", "6 MB of <", lambda: b"<" * MOST, "text/html"),
        Costly("unknown", "urlencoded", lambda: b"a=b&" * (MOST // 4), _URLENCODED),
        Costly("headers", "20 KB", lambda: picture(1), "image/jpeg", _LONG_HEADERS),
        Costly("headers", "a query of 2 KB", lambda: picture(1), "image/jpeg", query="a&" * 1000),
        Costly("headers", "Accept of 3 KB", lambda: picture(1), "image/jpeg", _LONG_ACCEPT),
    ]
    return found


_EXPLAIN = "explain=gradcam"
_URLENCODED = "application/x-www-form-urlencoded"
_LONG_HEADERS = {f"X-{n}": "x" * 2500 for n in range(8)}
_LONG_ACCEPT = {"Accept": "a/b;q=0.1," * 290}


def _explained(count: int) -> Callable[[], bytes]:
    return lambda: _several(picture(1), count)
