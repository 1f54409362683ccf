"""Files that are no picture, or one in another format, are named for what they are."""

import base64
import gzip
import io
import tarfile
import zipfile

import pytest
from PIL import Image

from pictures.decoder import UnreadableImage, UnsupportedImage, cost, decode
from tests.pictures.inputs import encode

PHOTO = encode(Image.new("RGB", (32, 32), "navy"), "JPEG")
PNG = encode(Image.new("RGB", (32, 32), "navy"), "PNG")


def ftyp(*brands: bytes) -> bytes:
    body = b"ftyp" + brands[0] + bytes(4) + b"".join(brands[1:])
    return (len(body) + 4).to_bytes(4, "big") + body + bytes(64)


def zipped() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a.jpg", PHOTO)
    return buffer.getvalue()


def tarred() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("a.jpg"))
    return buffer.getvalue()


PICTURES = [
    (ftyp(b"heic", b"mif1"), "HEIC", "sips -s format jpeg"),
    (ftyp(b"heix"), "HEIC", "magick IN.heic OUT.jpg"),
    (ftyp(b"hevc"), "HEIC", "magick"),
    (ftyp(b"mif1", b"mif1", b"heic"), "HEIC", "magick"),
    (ftyp(b"msf1", b"hevc"), "HEIC", "magick"),
    (ftyp(b"avif", b"mif1"), "AVIF", "magick IN.avif OUT.jpg"),
    (ftyp(b"avis"), "AVIF", "magick"),
    (ftyp(b"mif1", b"avif"), "AVIF", "magick"),
    (ftyp(b"mif1"), "HEIF", "magick"),
    (ftyp(b"crx "), "CR3, Canon", "darktable"),
    (b"II*\0\x10\0\0\0CR\x02\0" + bytes(64), "CR2, Canon", "darktable"),
    (b"FUJIFILMCCD-RAW 0201" + bytes(64), "RAF, Fujifilm", "darktable"),
    (b"IIU\0" + bytes(64), "RW2, Panasonic", "darktable"),
    (b"IIRO" + bytes(64), "ORF, Olympus", "darktable"),
    (b"\xff\x0a" + bytes(64), "JPEG XL", "djxl"),
    (b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(64), "JPEG XL", "djxl"),
    (b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(64), "JPEG 2000", "magick"),
    (b"\xff\x4f\xff\x51" + bytes(64), "JPEG 2000", "magick"),
    (b"II\xbc\x01" + bytes(64), "JPEG XR", "JxrDecApp"),
    (b"8BPS\0\1" + bytes(64), "Photoshop", "magick"),
    (b"%PDF-1.7" + bytes(64), "PDF", "pdftoppm"),
    (bytes(128) + b"DICM" + bytes(64), "DICOM", "dcmj2pnm"),
    (b"\0\0\1\0\1\0" + bytes(64), "Windows icon", "magick"),
    (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "SVG", "rsvg-convert"),
    (b"<?xml version='1.0'?>\n<!-- x -->\n<svg/>", "SVG", "rsvg-convert"),
    (b"\0\0\2\0\1\0" + bytes(64), "Windows cursor", "magick"),
    (encode(Image.new("RGB", (32, 32), "navy"), "TGA"), "TGA", "magick IN.tga"),
    (b"\0\0\x0a" + bytes(9) + b"\x20\0\x20\0\x18\0" + bytes(99), "TGA", "magick"),
    (b"P6\n8 8\n255\n" + bytes(192), "Netpbm", "magick"),
    (b"\x93NUMPY\1\0" + bytes(64), "NumPy", "fromarray"),
]
OTHERS = [
    (b"<!DOCTYPE html><html>404 Not Found</html>", "HTML page", "download the picture again"),
    (b"\xef\xbb\xbf\r\n  <HTML><body>", "HTML page", "download"),
    ("<html>".encode("utf-16"), "HTML page", "download"),
    (b"<?xml version='1.0'?><Error><Code>AccessDenied</Code>", "S3 error", "download"),
    (b"<?xml version='1.0'?><annotation><object/>", "XML", "remove"),
    (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n", "Git LFS", "git lfs pull"),
    (b"../../.git/annex/objects/x/y/SHA256E-s1.jpg", "git-annex", "git annex get"),
    (b"/annex/objects/SHA256E-s1.jpg", "git-annex", "git annex get"),
    (base64.b64encode(PHOTO), "base64", "base64 -d"),
    (base64.encodebytes(encode(Image.new("L", (9, 9)), "PNG")), "base64", "base64 -d"),
    (base64.urlsafe_b64encode(PHOTO), "base64", "base64 -d"),
    (base64.urlsafe_b64encode(PHOTO).rstrip(b"="), "base64", "base64 -d"),
    (PHOTO.hex().encode(), "hexadecimal", "xxd"),
    (b"0x" + PNG.hex().upper().encode() + b"\n", "hexadecimal", "xxd"),
    (repr(PHOTO).encode(), "Python bytes object", "themselves"),
    (repr(base64.b64encode(PNG)).encode(), "Python bytes object", "themselves"),
    (b"https://example.com/dog.jpg?x=1\n", "a URL", "download"),
    (b"s3://bucket/dogs/dog 1.jpg", "a URL", "download"),
    (b"@photo.jpg", "the name of a file", "its bytes"),
    (b"/home/me/dogs/photo 1.JPEG\r\n", "the name of a file", "its bytes"),
    (rb"C:\photos\dog.png", "the name of a file", "its bytes"),
    (b"data:image/jpeg;base64," + base64.b64encode(PHOTO), "data: address", "comma"),
    (gzip.compress(PHOTO, mtime=0), "gzip", "gunzip"),
    (zipped(), "zip archive", "unzip"),
    (tarred(), "tar archive", "unpack"),
    (b'{"error": "not found"}', "JSON", "remove"),
    (b"HTTP/1.1 200 OK\r\n\r\n" + PHOTO, "HTTP answer", "body"),
    (ftyp(b"isom", b"mp42"), "video", "ffmpeg"),
    (ftyp(b"qt  "), "video", "ffmpeg"),
    (b"\x1a\x45\xdf\xa3" + bytes(64), "video", "ffmpeg"),
    (b"RIFF\0\0\0\0AVI LIST" + bytes(64), "video", "ffmpeg"),
    (b"\0\0\1\xba" + bytes(64), "video", "ffmpeg"),
    (bytes(5000), "all its 5,000 bytes are zero", "copy it again"),
    (b"", "empty", "0 bytes"),
    (b"\0\5\x16\7" + bytes(64), "Mac's resource file", "remove"),
    (b"boundary--\r\n\r\n" + PHOTO, "14 other bytes precede a JPEG", "remove them"),
    (PHOTO.decode("utf-8", "replace").encode(), "as if they were text", "in base64"),
    (PHOTO.decode("latin-1").encode(), "as if they were text", "in base64"),
    (PNG.decode("utf-8", "replace").encode(), "as if they were text", "in base64"),
    (PNG.replace(b"\r\n", b"\n"), "as if they were text", "in base64"),
    (b"???? what is it", "not a picture in one of JPEG", ""),
    (b"a photo of a dog", "not a picture in one of JPEG", ""),
    (b"see dog.jpg and cat.jpg for\nmore", "not a picture in one of JPEG", ""),
    (b"bffd8ff it is", "not a picture in one of JPEG", ""),
]


@pytest.mark.parametrize(("data", "name", "cure"), PICTURES, ids=lambda one: str(one)[:24])
def test_a_picture_in_another_format_is_named_with_what_converts_it(
    data: bytes, name: str, cure: str
) -> None:
    for function in (decode, cost):
        with pytest.raises(UnsupportedImage) as refused:
            function(data)
        assert name in str(refused.value)
        assert cure in str(refused.value)


@pytest.mark.parametrize(("data", "name", "cure"), OTHERS, ids=lambda one: str(one)[:24])
def test_a_file_that_is_no_picture_is_named_with_the_cure(
    data: bytes, name: str, cure: str
) -> None:
    for function in (decode, cost):
        with pytest.raises(UnreadableImage) as refused:
            function(data)
        assert name in str(refused.value)
        assert cure in str(refused.value)


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF"])
def test_the_first_bytes_of_each_format_alone_are_refused(form: str) -> None:
    data = encode(Image.new("RGB", (32, 32), "navy"), form)
    for size in (2, 4, 8, 12, 20, 30):
        with pytest.raises((UnreadableImage, UnsupportedImage)):
            decode(data[:size])


def test_avif_and_heic_are_refused_alike() -> None:
    """Pillow could read AVIF; a folder of a phone's pictures must not be read in part."""
    with pytest.raises(UnsupportedImage, match="AVIF"):
        decode(encode(Image.new("RGB", (32, 32), "navy"), "AVIF"))
