"""The decoder returns every common format upright and in RGB, and refuses others by name."""

import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pictures.decoder import (
    BYTES_PER_PIXEL,
    OversizeImage,
    UnreadableImage,
    UnsupportedImage,
    cost,
    decode,
)
from pictures.decoding import pixels
from tests import peak
from tests.pictures import inputs

LOSSLESS = ("PNG", "BMP", "TIFF", "WEBP", "GIF")


def encode(image: Image.Image, form: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


@pytest.fixture
def arrow() -> Image.Image:
    """24 x 16, black with a red top left quarter: each orientation looks different."""
    image = Image.new("RGB", (24, 16))
    image.paste((255, 0, 0), (0, 0, 12, 8))
    return image


def corner(image: Image.Image) -> str:
    """Return the position of the red quarter."""
    pixels = np.asarray(image).astype(int)[..., 0]
    height, width = pixels.shape
    for name, rows, columns in (
        ("top left", slice(0, height // 2), slice(0, width // 2)),
        ("top right", slice(0, height // 2), slice(width // 2, None)),
        ("bottom left", slice(height // 2, None), slice(0, width // 2)),
        ("bottom right", slice(height // 2, None), slice(width // 2, None)),
    ):
        if pixels[rows, columns].mean() > 200:
            return name
    return "nowhere"


@pytest.mark.parametrize("form", ["JPEG", *LOSSLESS])
def test_every_format_gives_the_same_rgb(form: str, arrow: Image.Image) -> None:
    options = {"lossless": True} if form == "WEBP" else {}
    image = decode(encode(arrow, form, **options))
    assert (image.mode, image.size) == ("RGB", (24, 16))
    difference = np.asarray(image).astype(int) - np.asarray(arrow).astype(int)
    assert np.abs(difference).mean() < (10 if form == "JPEG" else 0.001)


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_is_decoded_upright(
    form: str, orientation: int, arrow: Image.Image
) -> None:
    turns = {  # how a camera in this orientation stores the upright picture
        1: None,
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    turn = turns[orientation]
    stored = arrow if turn is None else arrow.transpose(turn)
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = decode(encode(stored, form, exif=exif))
    assert image.size == (24, 16)
    assert corner(image) == "top left"


def test_greyscale_palette_and_cmyk_become_rgb(arrow: Image.Image) -> None:
    assert decode(encode(arrow.convert("L"), "JPEG")).mode == "RGB"
    assert decode(encode(arrow.convert("1"), "PNG")).mode == "RGB"
    palette = decode(encode(arrow.convert("P"), "PNG"))
    assert palette.getpixel((2, 2)) == (255, 0, 0)
    red, green, blue = decode(encode(arrow.convert("CMYK"), "JPEG")).getpixel((2, 2))  # type: ignore[misc]
    assert red > 220
    assert max(green, blue) < 40


@pytest.mark.parametrize("mode", ["RGBA", "LA", "PA"])
def test_transparent_pixels_become_white(mode: str) -> None:
    clear = Image.new("RGBA", (8, 8), (0, 0, 0, 0))
    data = encode(clear if mode == "PA" else clear.convert(mode), "PNG")
    if mode == "PA":
        data = encode(clear.quantize(4), "PNG")
    assert decode(data).getpixel((3, 3)) == (255, 255, 255)


def test_of_sixteen_bits_the_upper_eight_are_used() -> None:
    ramp = np.linspace(0, 0xFFFF, 256).astype(np.uint16).reshape(16, 16)
    for form in ("PNG", "TIFF"):
        pixels = np.asarray(decode(encode(Image.fromarray(ramp), form)))
        assert (pixels[..., 0] == ramp >> 8).all()


def test_of_an_animation_the_first_frame_is_decoded() -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "green", "blue")]
    for form in ("GIF", "WEBP", "PNG", "TIFF"):
        options: dict[str, Any] = {"save_all": True, "append_images": frames[1:]}
        red, green, blue = decode(encode(frames[0], form, **options)).getpixel((4, 4))  # type: ignore[misc]
        assert red > 240, form
        assert max(green, blue) < 15, form


def test_of_a_phones_multi_picture_jpeg_the_first_is_decoded() -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    image = decode(encode(frames[0], "MPO", save_all=True, append_images=frames[1:]))
    assert image.getpixel((4, 4))[0] > 240  # type: ignore[index]


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")  # Pillow warns and continues
def test_a_damaged_orientation_is_ignored(arrow: Image.Image) -> None:
    data = encode(arrow, "JPEG", exif=b"Exif\x00\x00MM\x00\x2a\xff\xff\xff\xff")
    assert corner(decode(data)) == "top left"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "0 bytes"),
        (b"a photo of a dog", "not a picture in one of JPEG"),
        (b"\xff\xd8\xff\xe0", "not a picture|damaged"),
        (b"\x89PNG\r\n\x1a\n" + bytes(20), "not a picture|damaged"),
    ],
)
def test_data_that_is_not_a_picture_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(UnreadableImage, match=message):
        decode(data)


@pytest.mark.parametrize("form", ["JPEG", "PNG", "TIFF", "WEBP", "GIF", "BMP"])
def test_a_truncated_picture_is_refused(form: str) -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8))
    data = encode(noise, form)
    with pytest.raises(UnreadableImage, match=r"cut short|not a picture|damaged"):
        decode(data[: len(data) // 2])


@pytest.mark.parametrize(
    ("head", "name"),
    [
        (b"\x00\x00\x00\x18ftypheic\x00\x00", "HEIC"),
        (b"\x00\x00\x00\x18ftypavif\x00\x00", "AVIF"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "SVG"),
        (b"%PDF-1.7", "PDF"),
    ],
)
def test_unsupported_formats_are_named(head: bytes, name: str) -> None:
    with pytest.raises(UnsupportedImage, match=f"{name}.* is not supported: convert it"):
        decode(head + bytes(64))


def test_pixels_of_float_or_32_bits_are_refused() -> None:
    with pytest.raises(UnsupportedImage, match="floating-point numbers"):
        decode(encode(Image.new("F", (8, 8), 0.5), "TIFF"))
    with pytest.raises(UnsupportedImage, match="signed numbers"):
        decode(encode(Image.new("I", (8, 8), 100_000), "TIFF"))


def test_the_size_is_checked_before_pixels_are_decoded() -> None:
    bomb = encode(Image.new("L", (9000, 9000)), "PNG")  # 81 megapixels in about 80 KB
    with pytest.raises(OversizeImage, match=r"9000 x 9000 pixels; at most 67,108,864"):
        decode(bomb)
    with pytest.raises(OversizeImage, match="24 x 16 pixels; at most 100 "):
        decode(encode(Image.new("RGB", (24, 16)), "JPEG"), max_pixels=100)


def test_a_header_with_a_huge_size_is_refused() -> None:
    data = bytearray(encode(Image.new("L", (8, 8)), "BMP"))
    data[18:26] = (60_000).to_bytes(4, "little") * 2  # width and height
    with pytest.raises(OversizeImage):
        decode(bytes(data))


@pytest.mark.parametrize(
    ("size", "at_least", "expected"),
    [
        ((800, 640), None, (800, 640)),
        ((800, 640), 500, (800, 640)),
        ((800, 640), 256, (400, 320)),
        ((640, 801), 160, (160, 201)),
        ((4000, 3000), 256, (500, 375)),
        ((100, 80), 256, (100, 80)),
    ],
)
def test_a_large_jpeg_is_decoded_at_the_smallest_size_that_is_enough(
    size: tuple[int, int], at_least: int | None, expected: tuple[int, int]
) -> None:
    image = decode(encode(Image.new("RGB", size, "navy"), "JPEG"), at_least=at_least)
    assert image.size == expected
    assert image.getpixel((50, 50)) == pytest.approx((0, 0, 128), abs=3)


def test_a_reduced_jpeg_is_upright_and_lossless_formats_are_not_reduced() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    wide = Image.new("RGB", (800, 640))
    assert decode(encode(wide, "JPEG", exif=exif), at_least=300).size == (320, 400)
    for form in LOSSLESS:
        assert decode(encode(wide, form), at_least=256).size == (800, 640)


def test_a_reduced_jpeg_looks_like_the_full_size() -> None:
    coarse = np.random.default_rng(0).integers(0, 255, (6, 8, 3), np.uint8)
    data = encode(Image.fromarray(coarse).resize((1600, 1200), Image.Resampling.BICUBIC), "JPEG")
    whole = np.asarray(decode(data).resize((320, 240)), dtype=int)
    reduced = np.asarray(decode(data, at_least=240).resize((320, 240)), dtype=int)
    assert np.abs(whole - reduced).mean() < 1.5


def solid_webp(side: int) -> bytes:
    """Return a lossless WebP of one colour and any size: 34 bytes."""
    return encode(Image.new("RGB", (side, side)), "WEBP", lossless=True, method=0, quality=0)


def progressive(size: tuple[int, int], scans: int) -> bytes:
    """Return a progressive JPEG of 8 x 8 whose header declares `size`, with so many scans."""
    data = bytearray(encode(Image.new("L", (8, 8)), "JPEG", progressive=True))
    frame = data.index(b"\xff\xc2") + 5
    data[frame : frame + 4] = struct.pack(">HH", *size[::-1])
    last = data.rindex(b"\xff\xda")
    more = scans - data.count(b"\xff\xda")
    return bytes(data[:-2] + data[last:-2] * more + data[-2:])


def tiled_tiff(side: int) -> bytes:
    """Return a TIFF of 64 x 64 whose tile has `side` x `side` pixels, and 400 bytes."""
    values = {256: 64, 257: 64, 258: 8, 259: 5, 262: 1, 277: 1, 322: side, 323: side, 324: 200}
    tags = [struct.pack("<HHII", tag, 4, 1, value) for tag, value in (values | {325: 400}).items()]
    return b"II*\0\x08\0\0\0" + struct.pack("<H", len(tags)) + b"".join(tags) + bytes(500)


SIDE = 2048  # 4 megapixels: 64 MiB at the stated limit


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "form", "mode", "options"),
    [
        ("baseline", "JPEG", "RGB", {}),
        ("progressive", "JPEG", "RGB", {"progressive": True, "subsampling": 0}),
        ("progressive CMYK", "JPEG", "CMYK", {"progressive": True}),
        ("alpha", "PNG", "RGBA", {}),
        ("grey with alpha", "PNG", "LA", {}),
        ("16 bits", "PNG", "I;16", {}),
        ("16 bits", "TIFF", "I;16", {}),
        ("compressed alpha", "TIFF", "RGBA", {"compression": "tiff_lzw"}),
        ("24 bits", "BMP", "RGB", {}),
        ("palette", "GIF", "P", {}),
        ("CMYK", "TIFF", "CMYK", {"compression": "tiff_lzw"}),
        ("alpha", "WEBP", "RGBA", {"lossless": True, "method": 0}),
    ],
)
def test_decoding_takes_no_more_memory_than_it_states(
    name: str, form: str, mode: str, options: dict[str, Any]
) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the turn makes another copy
    turned = {} if form in ("BMP", "GIF") else {"exif": exif}
    data = encode(Image.new(mode, (SIDE, SIDE)), form, **options, **turned)
    stated = cost(data)
    assert stated.pixels == SIDE * SIDE
    copy = 1.1 * len(data) + 1024  # of the file, with another directory of a TIFF
    assert stated.memory <= BYTES_PER_PIXEL * stated.pixels + copy
    used = peak.in_fresh_process(decode, data, encode(Image.new(mode, (8, 8)), form, **options))
    assert used <= stated.memory / 2**20 + 24, (form, name)  # 24: tiles, buffers


@pytest.mark.slow
@pytest.mark.parametrize("name", ["transparent 16-bit RGB", "JPEG without its end", "profile"])
def test_what_is_read_twice_or_converted_takes_no_more_memory(name: str) -> None:
    blank = Image.new("RGB", (SIDE, SIDE))
    if name == "profile":
        data = encode(blank, "PNG", icc_profile=inputs.profile(inputs.DISPLAY_P3, 2.2))
    elif name == "JPEG without its end":
        data = encode(blank, "JPEG")[:-2]
    else:
        clear = inputs.chunk(b"tRNS", bytes(6))
        data = inputs.png(np.zeros((SIDE, SIDE, 3), np.uint16), 2, 16, clear)
    small = encode(Image.new("RGB", (8, 8)), "PNG")
    used = peak.in_fresh_process(decode, data, small)
    assert used <= cost(data).memory / 2**20 + 24


def test_a_few_bytes_of_webp_cost_what_their_header_says() -> None:
    data = solid_webp(SIDE)
    assert len(data) < 40
    assert cost(data).memory == BYTES_PER_PIXEL * SIDE * SIDE
    with pytest.raises(OversizeImage, match="2048 x 2048 pixels; at most 1,000,000"):
        decode(data, max_pixels=1_000_000)


def test_a_reduced_jpeg_costs_little_and_a_progressive_one_its_coefficients() -> None:
    picture = Image.new("RGB", (1600, 1200))
    assert cost(encode(picture, "JPEG"), at_least=256).memory == 8 * 400 * 300
    whole = cost(encode(picture, "JPEG", progressive=True), at_least=256)
    assert whole.memory == 8 * (400 * 300 + 1600 * 1200)
    assert whole.pixels == 1600 * 1200


def test_a_jpeg_of_many_scans_is_refused_before_it_is_decoded() -> None:
    assert decode(progressive((100, 80), 100)).size == (100, 80)
    with pytest.raises(OversizeImage, match="over 100 scans"):
        decode(progressive((100, 80), 101))
    with pytest.raises(OversizeImage, match="over 16 scans"):
        decode(progressive((8191, 8191), 17))


def test_what_follows_a_jpeg_is_not_counted_as_scans() -> None:
    """Phones append a film to a photo; any two bytes can be in it."""
    film = b"\xff\xda\0\x02" * 500
    assert decode(progressive((100, 80), 10) + film).size == (100, 80)


@pytest.mark.filterwarnings("ignore")
def test_the_tile_of_a_tiff_counts_as_pixels() -> None:
    with pytest.raises(OversizeImage, match="30000 x 30000 pixels"):
        decode(tiled_tiff(30_000))
    assert cost(tiled_tiff(4096)).pixels == 4096 * 4096


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("form", ["PNG", "BMP"])
def test_a_large_header_without_data_takes_no_memory(form: str) -> None:
    data = bytearray(encode(Image.new("RGB", (8, 8)), form))
    if form == "BMP":
        data[18:26] = struct.pack("<ii", 8191, 8191)
    else:
        data[16:24] = struct.pack(">II", 8191, 8191)
        data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    with pytest.raises(UnreadableImage, match="damaged or cut short"):
        decode(bytes(data))
    assert peak.in_fresh_process(decode, bytes(data), encode(Image.new("RGB", (8, 8)), form)) < 16


@pytest.mark.parametrize(
    ("form", "mode"),
    [("PNG", "RGBA"), ("PNG", "LA"), ("PNG", "I;16"), ("PNG", "P"), ("JPEG", "CMYK"), ("GIF", "L")],
)
def test_tiles_give_the_pixels_of_the_whole(
    form: str, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (97, 133, 4), np.uint8)
    picture = Image.fromarray(noise).convert("RGBA" if mode == "RGBA" else "RGB")
    if mode == "I;16":
        picture = Image.fromarray(noise[..., 0].astype(np.uint16) * 250)
    elif mode != "RGBA":
        picture = picture.convert("LA" if mode == "LA" else mode)
    data = encode(picture, form)
    whole = decode(data)
    for size in (50, 1000):
        monkeypatch.setattr(pixels, "_TILE", size)
        assert np.array_equal(np.asarray(decode(data)), np.asarray(whole))
