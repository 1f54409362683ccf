"""Pictures that look small to a quick reader and are large to the decoder: left to the lane."""

import struct

import pytest
from PIL import Image

from pictures.decoder import cost
from tests.pictures.test_images import encode
from tests.serve.costly import late_header
from tests.serve.test_triage import quick

SIDE = 3000
LARGE = Image.new("P", (SIDE, SIDE))


def _descriptor(side: int) -> bytes:
    return b"," + struct.pack("<HHHHB", 0, 0, side, side, 0)


def _tiff(order: str, extra: list[tuple[int, int, int, int]]) -> bytes:
    """Return a TIFF whose directory has these entries in addition, at its end."""
    signature = b"II*\0" if order == "<" else b"MM\0*"
    size = SIDE * SIDE // 8
    # Width, height, bits, colours, strips, rows of a strip, bytes of a strip.
    tags = [(256, 4, 1, SIDE), (257, 4, 1, SIDE), (262, 3, 1, 1), (273, 4, 1, 8), (278, 4, 1, SIDE)]
    tags += [(279, 4, 1, size), *extra]
    shifted = [(a, b, c, d << 16 if order == ">" and b == 3 else d) for a, b, c, d in tags]
    entries = b"".join(struct.pack(order + "HHII", *tag) for tag in shifted)
    start = signature + struct.pack(order + "I", 8 + size) + bytes(size)
    return start + struct.pack(order + "H", len(tags)) + entries + bytes(4)


def _gif(before: bytes, after: bytes) -> bytes:
    """Return a GIF with a small canvas, and with bytes before and after its large frame."""
    large = encode(LARGE, "GIF")
    palette = 13 + (3 << (large[10] & 7) + 1 if large[10] & 0x80 else 0)
    frame = large.index(b",", palette)
    return large[:6] + struct.pack("<HH", 8, 8) + large[10:palette] + before + large[frame:] + after


def _jpeg() -> bytes:
    large = encode(Image.new("L", (SIDE, 6000)), "JPEG")
    small = encode(Image.new("L", (8, 8)), "JPEG")
    frame = small.index(b"\xff\xc0")
    return large[:-2] + small[frame : frame + 13] + b"\xff\xd9"


LIES = {
    "a PNG whose header is its second chunk": late_header(SIDE),
    "a TIFF with two widths": _tiff("<", [(256, 4, 1, 8), (257, 4, 1, 8)]),
    "a TIFF with two widths, big endian": _tiff(">", [(256, 4, 1, 8), (257, 4, 1, 8)]),
    "a GIF with an empty extension": _gif(b"\x21\xf9\0" + _descriptor(8) + bytes(36), b""),
    "a GIF with bytes between its blocks": _gif(b"\x0a", _descriptor(8) + b"\2\0;"),
}


@pytest.mark.parametrize("data", LIES.values(), ids=LIES)
def test_the_size_that_counts_is_the_decoders(data: bytes) -> None:
    assert cost(data).pixels >= SIDE * SIDE
    assert not quick(data)


def test_a_jpeg_has_one_frame() -> None:
    assert not quick(_jpeg())


def test_the_markers_of_a_jpeg_that_have_no_length_hide_nothing() -> None:
    small = encode(Image.new("L", (8, 8)), "JPEG")
    for marker in (0x00, 0x01, 0xD0, 0xD8, 0xFF):
        assert quick(small)
        skipped = bytes([0xFF, marker, 0, 2])
        assert not quick(small[:2] + skipped + small[2:])


@pytest.mark.parametrize("tag", [256, 257, 259, 322, 323])
def test_the_tags_of_a_tiff_that_count_have_one_value(tag: int) -> None:
    small = encode(Image.new("L", (8, 8)), "TIFF")
    assert quick(small)
    (directory,) = struct.unpack_from("<I", small, 4)
    (count,) = struct.unpack_from("<H", small, directory)
    tags = small[directory + 2 : directory + 2 + 12 * count] + struct.pack("<HHII", tag, 4, 2, 8)
    start = small[:4] + struct.pack("<I", len(small)) + small[8:]
    assert not quick(start + struct.pack("<H", count + 1) + tags + bytes(4))


def test_a_gif_has_its_usual_blocks() -> None:
    frames = [Image.new("P", (64, 64), n) for n in range(3)]
    assert quick(
        encode(frames[0], "GIF", save_all=True, append_images=frames, loop=0, comment=b"a")
    )
