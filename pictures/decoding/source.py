"""What is decoded of a file: its pixels' data without metadata, and what the metadata says of them.

Metadata is read here and not by Pillow: a damaged comment, thumbnail or date says nothing about the
pixels, so it cannot make a sound picture unreadable, and it costs nothing.
"""

import struct
from dataclasses import dataclass, field

_ORIENTATION = 0x0112
_SHORT, _LONG = 3, 4
_ENTRIES = 1000  # of an EXIF directory; cameras write about 20
MAX_PROFILE = 2**22  # bytes of a colour profile; those of printers have up to 3 MiB


@dataclass(frozen=True)
class Source:
    """A file that is ready to be decoded.

    Args:
        data: a file that holds pixels and no metadata.
        orientation: of EXIF, 1 to 8.
        profile: an ICC profile, or nothing.
        depth: bits of a sample.
        bits: significant bits of each channel if the file says that they are fewer (PNG's sBIT).
        clear: the sample values, gray or RGB, that are transparent in a 16-bit PNG.
        negative: 0 is white.
        remarks: what was assumed or passed over.
    """

    data: bytes
    orientation: int = 1
    profile: bytes = b""
    depth: int = 8
    bits: tuple[int, ...] = ()
    clear: tuple[int, ...] = ()
    negative: bool = False
    remarks: tuple[str, ...] = field(default=())


def bounded(profile: bytes) -> tuple[bytes, tuple[str, ...]]:
    """Return a profile, or nothing and a remark if it is too large."""
    if len(profile) <= MAX_PROFILE:
        return profile, ()
    return b"", ("its colour profile is larger than 4 MiB: it is passed over",)


def orientation(exif: bytes) -> int:
    """Return the orientation in an EXIF block; 1 (upright) if there is none or it is damaged.

    Source: EXIF 2.3, 4.6.2. An orientation is one short integer. Some writers use a long one. A
    value of another type, such as a float, is passed over, as OpenCV and browsers do.
    """
    exif = exif.removeprefix(b"Exif\0\0")
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(exif[:4])
    if order is None or len(exif) < 10:
        return 1
    place = struct.unpack_from(order + "I", exif, 4)[0]
    if place + 2 > len(exif):
        return 1
    count = min(struct.unpack_from(order + "H", exif, place)[0], _ENTRIES)
    for start in range(place + 2, min(place + 2 + 12 * count, len(exif) - 11), 12):
        tag, kind, values = struct.unpack_from(order + "HHI", exif, start)
        if tag == _ORIENTATION and values == 1 and kind in (_SHORT, _LONG):
            form = "H" if kind == _SHORT else "I"
            value: int = struct.unpack_from(order + form, exif, start + 8)[0]
            return value if 1 <= value <= 8 else 1
    return 1
