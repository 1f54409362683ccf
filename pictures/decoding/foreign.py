"""What a file is, by its first bytes: a format that is read, or the name of what it is instead.

People send exports, pointers and error pages with the suffix `.jpg`. Each is named, with the cure.
"""

import re

from pictures.decoding.errors import ImageError, UnreadableImage, UnsupportedImage
from pictures.decoding.png import SIGNATURE
from pictures.decoding.tiff import SIGNATURES

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF")
_JPEG = b"\xff\xd8\xff"
_BMP_HEADERS = (12, 16, 40, 52, 56, 64, 108, 124)  # bytes; other files begin with BM too
_CONVERT = "magick IN.{} OUT.jpg"
_SIPS = "sips -s format jpeg IN.heic --out OUT.jpg"
# The brands of files that begin with `ftyp`: HEIF's family, then films. Source: ISO/IEC 23008-12,
# AVIF 1.1, https://mp4ra.org.
_HEIC = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs")
_AVIF = (b"avif", b"avis")
# Pictures that are not read: (offset, magic bytes, name, what converts it).
_PICTURES = (
    (0, b"\xff\x0a", "a JPEG XL picture", "djxl IN.jxl OUT.jpg"),
    (0, b"\x00\x00\x00\x0cJXL ", "a JPEG XL picture", "djxl IN.jxl OUT.jpg"),
    (0, b"\x00\x00\x00\x0cjP  ", "a JPEG 2000 picture", _CONVERT.format("jp2")),
    (0, b"\xff\x4f\xff\x51", "a JPEG 2000 picture", _CONVERT.format("j2k")),
    (0, b"II\xbc\x01", "a JPEG XR picture", "JxrDecApp -i IN.jxr -o OUT.bmp"),
    (0, b"8BPS", "a Photoshop file", "magick 'IN.psd[0]' OUT.png"),
    (0, b"%PDF", "a PDF document", "pdftoppm -jpeg -r 150 IN.pdf OUT"),
    (0, b"%!PS", "a PostScript document", _CONVERT.format("eps")),
    (0, b"\xc5\xd0\xd3\xc6", "a PostScript document", _CONVERT.format("eps")),
    (0, b"gimp xcf", "a GIMP file", "magick IN.xcf -flatten OUT.png"),
    (0, b"\x00\x00\x01\x00", "a Windows icon", "magick 'IN.ico[0]' OUT.png"),
    (0, b"\x00\x00\x02\x00", "a Windows cursor", "magick 'IN.cur[0]' OUT.png"),  # after TGA
    (0, b"icns", "a Mac icon", "magick 'IN.icns[0]' OUT.png"),
    (0, b"\x8aMNG", "an MNG animation", "magick 'IN.mng[0]' OUT.png"),
    (0, b"BPG\xfb", "a BPG picture", "bpgdec -o OUT.png IN.bpg"),
    (0, b"FLIF", "a FLIF picture", "flif -d IN.flif OUT.png"),
    (0, b"qoif", "a QOI picture", "magick IN.qoi OUT.png"),
    (0, b"\x76\x2f\x31\x01", "an OpenEXR picture", "magick IN.exr OUT.png"),
    (0, b"#?RADIANCE", "a Radiance picture", "magick IN.hdr OUT.png"),
    (0, b"#?RGBE", "a Radiance picture", "magick IN.hdr OUT.png"),
    (0, b"DDS ", "a DirectDraw picture", "magick IN.dds OUT.png"),
    (0, b"\x0a\x05\x01", "a PCX picture", "magick IN.pcx OUT.png"),
    (0, b"\x01\xda", "an SGI picture", "magick IN.sgi OUT.png"),
    (0, b"SIMPLE  =", "a FITS picture", "magick IN.fits OUT.png"),
    (0, b"AT&TFORM", "a DjVu document", "ddjvu -format=tiff IN.djvu OUT.tif"),
    (0, b"\xd7\xcd\xc6\x9a", "a Windows metafile", _CONVERT.format("wmf")),
    (40, b" EMF", "a Windows metafile", _CONVERT.format("emf")),
    (128, b"DICM", "a DICOM picture (medicine)", "dcmj2pnm +oj IN.dcm OUT.jpg"),
    (344, b"n+1\0", "a NIfTI volume (medicine)", "save its slices as PNG"),
    (0, b"\x93NUMPY", "a NumPy array", "save it with PIL.Image.fromarray(array).save('OUT.png')"),
    (0, b"\x89HDF\r\n", "an HDF5 file", "save its pictures as PNG"),
)
_RAW = (
    (8, b"CR\x02", "CR2, Canon"),
    (6, b"HEAPCCDR", "CRW, Canon"),
    (0, b"FUJIFILMCCD-RAW", "RAF, Fujifilm"),
    (0, b"IIU\0", "RW2, Panasonic"),
    (0, b"IIRO", "ORF, Olympus"),
    (0, b"IIRS", "ORF, Olympus"),
    (0, b"MMOR", "ORF, Olympus"),
    (0, b"FOVb", "X3F, Sigma"),
    (0, b"\0MRM", "MRW, Minolta"),
    (4, b"ftypcrx ", "CR3, Canon"),
)
_FILMS = (
    (0, b"\x1a\x45\xdf\xa3"),  # Matroska, WebM
    (8, b"AVI "),
    (0, b"\x00\x00\x01\xba"),
    (0, b"\x00\x00\x01\xb3"),
    (0, b"FLV\x01"),
    (0, b"OggS"),
    (0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11"),  # Windows Media
    (4, b"moov"),
    (4, b"mdat"),
)
_ARCHIVES = (
    (0, b"PK\x03\x04", "a zip archive", "unzip it"),
    (0, b"PK\x05\x06", "an empty zip archive", "remove it"),
    (0, b"\x1f\x8b", "compressed with gzip", "unpack it (gunzip)"),
    (0, b"BZh", "compressed with bzip2", "unpack it (bunzip2)"),
    (0, b"\xfd7zXZ", "compressed with xz", "unpack it (unxz)"),
    (0, b"\x28\xb5\x2f\xfd", "compressed with Zstandard", "unpack it (unzstd)"),
    (0, b"7z\xbc\xaf", "a 7z archive", "unpack it"),
    (0, b"Rar!\x1a", "a RAR archive", "unpack it"),
    (257, b"ustar", "a tar archive", "unpack it"),
    (0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an Office document", "save its pictures as files"),
    (0, b"\x00\x05\x16\x07", "a Mac's resource file (its name begins with ._)", "remove it"),
    (0, b"\x4c\x00\x00\x00\x01\x14\x02\x00", "a Windows shortcut", "copy the file it points to"),
    (0, b"book\0\0\0\0mark", "a Mac's alias", "copy the file it points to"),
    (0, b"SQLite format 3\0", "an SQLite database", "remove it"),
    (0, b"\x80\x04\x95", "a Python pickle", "save its pictures as PNG"),
    (0, b"PAR1", "a Parquet table", "save its pictures as files"),
    (0, b"\x7fELF", "a program", "remove it"),
)
# Texts, by what they begin with after blanks: pattern, name, cure. Atomic groups, (?>), never go
# back: else a text of many comments would be tried in every split.
_TEXTS = (
    (rb"version https://git-lfs\.github\.com/spec", "a Git LFS pointer", "run `git lfs pull`"),
    (rb"(?:\.\./)*(?:\.git/annex|/?annex)/objects/", "a git-annex pointer", "run `git annex get`"),
    (rb"outs:\n- md5:", "a pointer of DVC", "run `dvc pull`"),
    (rb"(?:<\?xml[^>]*>\s*)?(?>(?:<!--.*?-->\s*)*)(?:<!DOCTYPE svg[^>]*>\s*)?<svg\b",
     "an SVG drawing", "rsvg-convert IN.svg -o OUT.png"),
    (rb"(?>(?:<!--.*?-->\s*)*)<(?:!doctype\s+html|html|head|body|script|meta|title)\b",
     "an HTML page, often the error page of a failed download", "download the picture again"),
    (rb"(?:<\?xml[^>]*>\s*)?<Error>", "an S3 error message", "download the picture again"),
    (rb"<\?xml\b|<[A-Za-z][\w:-]*[\s/>]", "an XML file", "remove it"),
    (rb"HTTP/[12]", "an HTTP answer with its header", "save the body alone"),
    (rb"data:image/[\w.+-]+;base64,", "a data: address in base64", "decode what follows the comma"),
    (rb"(?:[/_]9j[/_]|iVBORw0KGgo|R0lGOD|UklGR|Qk[0-9A-Za-z+/]{2}|SUkqA|TU0AK)"
     rb"[A-Za-z0-9+/=\r\n_-]++\s*\Z", "a picture in base64", "decode it (base64 -d)"),
    (rb"(?:0x|\\x)?(?:ffd8ff|89504e470d|47494638)[0-9a-f\s]++\Z",
     "a picture in hexadecimal digits", "decode it (xxd -r -p)"),
    (rb"b['\"](?:\\x(?:ff|89)|GIF8|RIFF|/9j/|iVBORw0KGgo|R0lGOD|UklGR)",
     "the text of a Python bytes object", "send or write the bytes themselves, not str(bytes)"),
    (rb"(?:https?|ftp|s3|gs|file)://[^\r\n]{1,2000}+\s*\Z", "a URL", "download the picture first"),
    (rb"[^\r\n\0]{1,1000}\.(?:jpe?g|png|gif|webp|bmp|tiff?|heic)\s*\Z",
     "the name of a file", "send or copy its bytes (curl --data-binary @photo.jpg)"),
    (rb"-----BEGIN ", "a PEM file", "remove it"),
    (rb"[\[{]\s*[\"\[{\]}]", "JSON", "remove it, or decode the picture in it"),
    (rb"P[1-7]\s", "a Netpbm picture", "magick IN.ppm OUT.png"),
)  # fmt: skip
_DRAWN = ("an SVG drawing", "a Netpbm picture")  # texts that are pictures
# How a JPEG and a PNG begin after a program took their bytes for text: decoded as UTF-8 or ASCII,
# which loses them, or read as Latin-1 and written as UTF-8; or with line ends of another system.
_MADE_TEXT = (
    "\N{REPLACEMENT CHARACTER}".encode() * 3,
    "\N{REPLACEMENT CHARACTER}PNG".encode(),
    "\xff\xd8\xff".encode(),
    "\x89PNG".encode(),
    b"????\0\x10JFIF",
    b"?PNG\r\n",
    b"\x89PNG\n",
    b"\x89PNG\r\r\n",
)
_HEAD = 4096


def format_of(data: bytes) -> str:
    """Return the name of the format, one of FORMATS.

    Raises:
        UnreadableImage: no picture; with the name of what it is, where it is known.
        UnsupportedImage: a picture in another format.
    """
    if data.startswith(_JPEG):
        return "JPEG"
    if data.startswith(SIGNATURE):
        return "PNG"
    if data.startswith(SIGNATURES) and not _is(data, _RAW[0]):
        return "TIFF"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP"
    if data.startswith((b"GIF87a", b"GIF89a")):
        return "GIF"
    if data[:2] == b"BM" and int.from_bytes(data[14:18], "little") in _BMP_HEADERS:
        return "BMP"
    raise named(data) or _unknown(data)


def named(data: bytes) -> ImageError | None:
    """Return the error that names what these bytes are, which are no picture that is read.

    None if it is not known.
    """
    if not data:
        return UnreadableImage("the picture is empty (0 bytes)")
    if _is_tga(data):
        return _unsupported("a TGA picture", "magick IN.tga OUT.png")
    for offset, magic, name, cure in _PICTURES:
        if data[offset : offset + len(magic)] == magic:
            return _unsupported(name, cure)
    for raw in _RAW:
        if _is(data, raw):
            return UnsupportedImage(
                f"this is a camera's raw picture ({raw[2]}), which is not supported: "
                "develop it to JPEG or PNG with the camera's program or darktable-cli"
            )
    if data[4:8] == b"ftyp":
        return _family(data)
    if any(data[offset : offset + len(magic)] == magic for offset, magic in _FILMS):
        return _film()
    for offset, magic, name, cure in _ARCHIVES:
        if data[offset : offset + len(magic)] == magic:
            return UnreadableImage(f"this is {name}, not a picture: {cure}")
    return _text(data)


def _is_tga(data: bytes) -> bool:
    """Return whether a header is that of a TGA without a palette, which has no magic bytes.

    Source: Truevision TGA file format specification, version 2.0.
    """
    if len(data) < 18 or data[1:2] != b"\0" or data[2] not in (2, 3, 10, 11):
        return False
    has_size = any(data[12:14]) and any(data[14:16])
    return not any(data[3:8]) and has_size and data[16] in (8, 15, 16, 24, 32)


def _family(data: bytes) -> ImageError:
    """Name a file of ISO's base media format by its brands: HEIC, AVIF or a film."""
    size = min(int.from_bytes(data[:4], "big"), 256)
    brands = [data[8:12], *(data[at : at + 4] for at in range(16, size - 3, 4))]
    general = brands[0] in (b"mif1", b"msf1")
    if brands[0] in _AVIF or (general and {*brands} & {*_AVIF}):
        return _unsupported("an AVIF picture", _CONVERT.format("avif"))
    if brands[0] in _HEIC or (general and {*brands} & {*_HEIC}):
        return _unsupported("a HEIC picture", f"{_CONVERT.format('heic')}; on a Mac: {_SIPS}")
    if general:
        return _unsupported("a HEIF picture", _CONVERT.format("heif"))
    return _film()


def _unsupported(name: str, cure: str) -> UnsupportedImage:
    return UnsupportedImage(f"this is {name}, which is not supported: convert it ({cure})")


def _film() -> ImageError:
    return UnreadableImage(
        "this is a video, not a picture: extract its frames (ffmpeg -i IN -vf fps=1 OUT%04d.jpg)"
    )


def _text(data: bytes) -> ImageError | None:
    """Return the name of a text; None if it is none."""
    head = data[:_HEAD]
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):  # UTF-16
        head = head.decode("utf-16", "replace").encode()
    head = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    for pattern, name, cure in _TEXTS:
        if re.match(pattern, head, re.IGNORECASE | re.DOTALL):
            if name in _DRAWN:
                return _unsupported(name, cure)
            return UnreadableImage(f"this is {name}, not a picture: {cure}")
    return None


def _unknown(data: bytes) -> ImageError:
    listed = ", ".join(FORMATS)
    if data.startswith(_MADE_TEXT):
        return UnreadableImage(
            "this was a picture until a program changed its bytes as if they were text: "
            "copy or send them as they are, or in base64"
        )
    if not data.strip(b"\0"):
        return UnreadableImage(
            f"all its {len(data):,} bytes are zero: it was lost in a copy; copy it again"
        )
    for magic, name in ((_JPEG, "JPEG"), (SIGNATURE, "PNG")):
        if (place := data.find(magic, 1, _HEAD)) > 0:
            return UnreadableImage(
                f"{place:,} other bytes precede a {name} picture: remove them, or send it again"
            )
    return UnreadableImage(f"these {len(data):,} bytes are not a picture in one of {listed}")


def _is(data: bytes, known: tuple[int, bytes, str]) -> bool:
    offset, magic, _ = known
    return data[offset : offset + len(magic)] == magic
