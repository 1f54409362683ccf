"""TIFF: the tags that pixels need, and which kinds of TIFF are read.

Pillow gets a new directory with these tags alone, so that damaged or huge metadata, later pages and
raw pictures of cameras in other directories play no part. Source: TIFF 6.0, its technical notes,
and the BigTIFF design.
"""

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pictures.decoding.errors import UnreadableImage, UnsupportedImage
from pictures.decoding.source import Source, bounded

SIGNATURES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC = 256, 257, 258, 259, 262
_FILL_ORDER, _STRIPS, _ORIENTATION, _SAMPLES, _PLANES = 266, 273, 274, 277, 284
_TILE_WIDTH, _TILE_HEIGHT, _EXTRA, _FORMAT = 322, 323, 338, 339
_SUBFILE, _SUB_DIRECTORIES, _PROFILE, _DNG, _MAKE = 254, 330, 34675, 50706, 271
# Also rows and bytes of strips, T4 and T6 options, predictor, colour map, tiles, JPEG tables, and
# the coefficients, subsampling, position and black and white of YCbCr.
_NEEDED = {
    *(_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC, _FILL_ORDER, _STRIPS, _SAMPLES, _PLANES),
    *(278, 279, 292, 293, 317, 320, _TILE_WIDTH, _TILE_HEIGHT, 324, 325, _EXTRA, _FORMAT, 347),
    *(529, 530, 531, 532),
}
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
_BIG_SIZES = _SIZES | {16: 8, 17: 8, 18: 8}
_NUMBERS = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}
_ENTRIES = 4096
_READ = {*_NEEDED, _SUBFILE, _ORIENTATION, _PROFILE, _MAKE}
_VALUE = 2**23  # bytes of a tag: the positions of 1,000,000 strips or tiles
_COLOURS = {0: "gray", 1: "gray", 2: "RGB", 3: "palette", 5: "CMYK", 6: "YCbCr"}
_FOREIGN_COLOURS = {
    4: "a transparency mask",
    8: "in the colour space CIELab",
    9: "in the colour space ICCLab",
    10: "in the colour space ITULab",
    32803: "a camera's raw picture (a colour filter array)",
    32844: "in the colour space LogL",
    32845: "in the colour space LogLuv",
    34892: "a camera's raw picture (linear raw)",
}
# LZMA and Zstandard are left out: a few bytes can ask for gigabytes of working memory.
_COMPRESSIONS = {
    1: "none",
    2: "CCITT RLE",
    3: "CCITT fax 3",
    4: "CCITT fax 4",
    5: "LZW",
    7: "JPEG",
    8: "deflate",
    32773: "packbits",
    32946: "deflate",
}
_FOREIGN_COMPRESSIONS = {
    6: "old-style JPEG",
    9: "JBIG",
    10: "JBIG",
    32766: "NeXT",
    32809: "ThunderScan",
    33003: "JPEG 2000",
    33005: "JPEG 2000",
    34661: "JBIG",
    34676: "SGI log",
    34677: "SGI log",
    34712: "JPEG 2000",
    34887: "LERC",
    34892: "lossy JPEG",
    34925: "LZMA",
    50000: "Zstandard",
    50001: "WebP",
    50002: "JPEG XL",
    52546: "JPEG XL",
}
CURE = "save it as a TIFF of 8-bit RGB with LZW, or as PNG (magick 'IN.tif[0]' -depth 8 OUT.png)"


@dataclass(frozen=True)
class _Entry:
    kind: int
    count: int
    value: bytes  # empty if it is outside of the file


def source(data: bytes) -> Source:
    """Return what is decoded of the first picture of a TIFF.

    Raises:
        UnsupportedImage: a kind of TIFF that is not read, with its name.
        UnreadableImage: the directory is damaged.
    """
    order = "<" if data[:2] == b"II" else ">"
    big = data[2:3] == b"+" or data[3:4] == b"+"
    entries = _directory(data, order, big=big)
    tags = {tag: _numbers(entry, order) for tag, entry in entries.items() if tag != _PROFILE}
    _check_camera(entries, tags)
    colour, bits = _check_kind(tags)
    kept = {tag: entry for tag, entry in entries.items() if tag in _NEEDED and entry.value}
    negative = colour == "gray" and bits == 16 and tags[_PHOTOMETRIC][0] == 0
    if negative:  # Pillow does not invert it
        kept[_PHOTOMETRIC] = _Entry(3, 1, struct.pack(order + "H", 1))
    profile, remarks = bounded(entries.get(_PROFILE, _Entry(7, 0, b"")).value)
    turned = _first(tags, _ORIENTATION, 1)
    return Source(
        _rebuilt(data, kept, order),
        orientation=turned if 1 <= turned <= 8 else 1,
        profile=profile,
        depth=bits,
        negative=negative,
        remarks=remarks,
    )


def sides(source: Source) -> tuple[int, int]:
    """Return width and height of the picture, or of a tile if that is larger; as stored."""
    order = "<" if source.data[:2] == b"II" else ">"
    entries = _directory(source.data, order, big=False)
    tags = {tag: _numbers(entry, order) for tag, entry in entries.items()}
    return (
        max(_first(tags, _WIDTH, 0), _first(tags, _TILE_WIDTH, 0)),
        max(_first(tags, _HEIGHT, 0), _first(tags, _TILE_HEIGHT, 0)),
    )


def _directory(data: bytes, order: str, *, big: bool) -> dict[int, _Entry]:
    """Read the first directory; entries that are damaged have no value."""
    try:
        start = struct.unpack_from(order + ("Q" if big else "I"), data, 8 if big else 4)[0]
        count = struct.unpack_from(order + ("Q" if big else "H"), data, start)[0]
        if not 0 < count <= _ENTRIES:
            raise UnreadableImage(f"the TIFF is damaged: its directory has {count:,} entries")
        found: dict[int, _Entry] = {}
        head, step, room = ("HHQ", 20, 8) if big else ("HHI", 12, 4)
        start += 8 if big else 2
        for at in range(start, start + step * count, step):
            tag, kind, number = struct.unpack_from(order + head, data, at)
            size = (_BIG_SIZES if big else _SIZES).get(kind, 0) * number
            place = at + step - room
            if size > room:
                place = struct.unpack_from(order + ("Q" if big else "I"), data, place)[0]
            whole = place + size <= len(data)
            found.setdefault(
                tag, _Entry(kind, number, data[place : place + size] if whole else b"")
            )
    except (struct.error, OverflowError) as error:
        raise UnreadableImage(f"the TIFF is damaged or cut short ({error})") from error
    return found


def _numbers(entry: _Entry, order: str) -> tuple[int, ...]:
    """Return whole numbers, at most 64 of them: what the checks need."""
    if entry.kind not in _NUMBERS or not entry.value:
        return ()
    form = _NUMBERS[entry.kind]
    count = min(entry.count, 64)
    return struct.unpack_from(f"{order}{count}{form}", entry.value)


def _first(tags: Mapping[int, Sequence[int]], tag: int, default: int) -> int:
    return (*tags.get(tag, ()), default)[0]


def _check_camera(entries: Mapping[int, _Entry], tags: Mapping[int, Sequence[int]]) -> None:
    """Refuse a camera's raw file: its first picture is a thumbnail."""
    small = _first(tags, _SUBFILE, 0) & 1
    if _DNG in entries or (small and _SUB_DIRECTORIES in entries):
        maker = entries.get(_MAKE, _Entry(2, 0, b"")).value.split(b"\0")[0][:30]
        name = "DNG" if _DNG in entries else f"raw, {maker.decode('ascii', 'replace').strip()}"
        raise UnsupportedImage(
            f"this is a camera's raw picture ({name.rstrip(', ')}), which is not supported: "
            "develop it to JPEG or PNG with the camera's program or darktable-cli"
        )


def _check_kind(tags: Mapping[int, Sequence[int]]) -> tuple[str, int]:
    """Return the colours and the bits of a sample.

    Raises:
        UnsupportedImage: not a kind that is read.
    """
    number = _first(tags, _COMPRESSION, 1)
    if number not in _COMPRESSIONS:
        name = _FOREIGN_COMPRESSIONS.get(number, f"number {number}")
        raise _unsupported(f"compressed with {name}")
    if not tags.get(_PHOTOMETRIC):
        raise UnreadableImage("the TIFF is damaged: it does not tell its colours (tag 262)")
    photometric = tags[_PHOTOMETRIC][0]
    if photometric not in _COLOURS:
        raise _unsupported(_FOREIGN_COLOURS.get(photometric, f"of colours number {photometric}"))
    colour = _COLOURS[photometric]
    formats = set(tags.get(_FORMAT, (1,)))
    if formats != {1}:
        kind = {2: "signed numbers", 3: "floating-point numbers"}.get(max(formats), "other numbers")
        raise _unsupported(f"of {kind}")
    channels = {"gray": 1, "palette": 1, "RGB": 3, "YCbCr": 3, "CMYK": 4}[colour]
    samples = _first(tags, _SAMPLES, 1)
    depths = set(tags.get(_BITS, (1,))[:samples])
    if len(depths) != 1 or samples < channels:
        raise _unsupported(f"with {samples} samples of {_listed(depths)} bits for {colour}")
    bits = depths.pop()
    extra = samples - channels
    known = {
        "gray": (1, 2, 4, 8, 12, 16) if not extra else (8,),
        "palette": (1, 2, 4, 8) if not extra else (8,),
        "RGB": (8, 16),
        "YCbCr": (8,),
        "CMYK": (8, 16),
    }[colour]
    if bits not in known or (bits == 12 and photometric == 0):
        raise _unsupported(f"with {bits} bits a sample for {colour}" + " and alpha" * bool(extra))
    if _first(tags, _PLANES, 1) == 2 and samples > 1 and bits != 8:
        raise _unsupported(f"with {bits} bits in planes, one for each colour")
    return colour, bits


def _listed(numbers: set[int]) -> str:
    return " and ".join(map(str, sorted(numbers)))


def _unsupported(what: str) -> UnsupportedImage:
    return UnsupportedImage(f"this is a TIFF {what}, which is not supported: {CURE}")


def _rebuilt(data: bytes, kept: Mapping[int, _Entry], order: str) -> bytes:
    """Return the file with another first directory, at its end, and no other.

    It is a classic TIFF: Pillow does not read every BigTIFF, and pictures are smaller than 4 GiB.
    """
    place = len(data) + len(data) % 2
    after = place + 2 + 12 * len(kept) + 4
    directory = [struct.pack(order + "H", len(kept))]
    values: list[bytes] = []
    for tag, entry in sorted(kept.items()):
        kind, value = entry.kind, entry.value
        if kind in (16, 18):  # 64-bit positions
            kind = 4
            numbers = struct.unpack(f"{order}{entry.count}Q", value)
            value = struct.pack(f"{order}{entry.count}I", *(one & 0xFFFFFFFF for one in numbers))
        directory.append(struct.pack(order + "HHI", tag, kind, entry.count))
        if len(value) > 4:
            values.append(value + bytes(len(value) % 2))
            directory.append(struct.pack(order + "I", after))
            after += len(values[-1])
        else:
            directory.append(value.ljust(4, b"\0"))
    first = b"II*\0" if order == "<" else b"MM\0*"
    header = first + struct.pack(order + "I", place)
    middle = memoryview(data)[len(header) :]
    return b"".join([header, middle, bytes(len(data) % 2), *directory, bytes(4), *values])
