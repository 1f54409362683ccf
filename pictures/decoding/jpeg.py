"""JPEG: the segments that pixels need, what the others say, and what kind of JPEG it is.

Source: ITU-T T.81, annex B; JFIF; Exif 2.3, 4.7; ICC.1:2022, annex B.4.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from pictures.decoding.errors import OversizeImage, UnreadableImage, UnsupportedImage
from pictures.decoding.source import Source, bounded, orientation

MAX_PIXELS = 2**26  # 67 megapixels: more than a 50-megapixel phone makes
MAX_SCANS = 100  # of a JPEG; libtiff has the same limit. Encoders write 10 to 20.
# Scans x pixels: a decoder of progressive JPEGs goes through all pixels in each scan.
MAX_SCANNED_PIXELS = 16 * MAX_PIXELS
# Markers that are no data: FF00 is a stuffed byte, FFD0 to FFD7 are restarts.
_MARKER = re.compile(rb"\xff([\x02-\xcf\xd8-\xfe])")
_SOI, _EOI, _SOS, _DNL = 0xD8, 0xD9, 0xDA, 0xDC
_APP0, _APP1, _APP2, _APP14, _COMMENT = 0xE0, 0xE1, 0xE2, 0xEE, 0xFE
_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}  # DHT, JPG and DAC have numbers between them
_BASELINE, _EXTENDED, _PROGRESSIVE = 0xC0, 0xC1, 0xC2
_LOSSLESS, _HIERARCHICAL = (0xC3, 0xC7, 0xCB, 0xCF), (0xC5, 0xC6, 0xCD, 0xCE)
_ARITHMETIC = (0xC9, 0xCA)
_LS = 0xF7
_PROFILE = b"ICC_PROFILE\0"
_MAX_SEGMENTS = 2**14  # a profile in 64 KiB parts, tables and scans are a few hundred
CURE = "save it as a baseline JPEG with 8 bits (magick IN.jpg -depth 8 OUT.jpg)"


@dataclass(frozen=True)
class _Layout:
    """Where the segments of a JPEG are: marker, first byte, end."""

    segments: tuple[tuple[int, int, int], ...]
    end: int  # after the EOI marker; 0 if there is none


def source(data: bytes) -> Source:
    """Return what is decoded of a JPEG: tables, frame and scans.

    A picture without the two bytes of its end is given them; `complete` shows whether anything else
    is missing. What follows the end, such as a phone's film, is left out.

    Raises:
        UnsupportedImage: a kind of JPEG that common decoders do not read.
        OversizeImage: more scans than allowed.
        UnreadableImage: there is no frame.
    """
    layout = _layout(data)
    frame = next(((one, at) for one, at, _ in layout.segments if one in {*_FRAMES, _LS}), None)
    if frame is None:
        raise UnreadableImage("the JPEG is damaged or cut short: it has no pixels")
    _check_kind(frame[0], data[frame[1] + 2])
    height, width = (
        int.from_bytes(data[frame[1] + at : frame[1] + at + 2], "big") for at in (3, 5)
    )
    _check_scans(layout, height * width)
    exif, profiles, kept, at = b"", {}, [data[:2]], 2
    for marker, start, end in layout.segments:
        if marker == _SOS:
            break
        body = data[start + 2 : end]
        if marker == _APP1 and body.startswith(b"Exif\0") and not exif:
            exif = body
        elif marker == _APP2 and body.startswith(_PROFILE) and len(body) > len(_PROFILE) + 2:
            profiles[body[len(_PROFILE)]] = body[len(_PROFILE) + 2 :]
        if marker in (_APP0, _APP14) or not (_APP0 <= marker <= 0xEF or marker == _COMMENT):
            kept.append(b"\xff" + bytes([marker]) + data[start:end])
        at = end
    profile, remarks = bounded(b"".join(part for _, part in sorted(profiles.items())))
    if not layout.end:
        remarks += ("the JPEG lacks the two bytes of its end (FFD9)",)
    kept += [data[at : layout.end or len(data)], b"" if layout.end else b"\xff\xd9"]
    pixels = b"".join(kept)
    pixels = data if pixels == data else pixels  # no second copy
    return Source(pixels, orientation(exif), profile, remarks=remarks)


def lacks_end(source: Source) -> bool:
    """Whether the file had no end marker."""
    return any("FFD9" in one for one in source.remarks)


def padded(source: Source) -> Iterator[Source]:
    """Yield the source with different bytes before the end that was added.

    If all of them decode to the same pixels, the decoder needed none of these bytes: nothing but
    the end is missing.
    """
    begin = source.data[:-2].rstrip(b"\xff")  # a part of a marker, or fill bytes
    for pad in (b"\0\0", b"\xaa\x55", b"\x4b\xd2"):
        yield replace(source, data=begin + 64 * pad + b"\xff\xd9")


def has_all_scans(data: bytes) -> bool:
    """Whether the scans of a progressive JPEG bring every coefficient to its last bit."""
    exact: dict[int, set[int]] = {}
    for marker, start, _ in _layout(data).segments:
        if marker in _FRAMES:
            exact = {data[start + 8 + 3 * one]: set() for one in range(data[start + 7])}
            if marker != _PROGRESSIVE:
                return True
        elif marker == _SOS:
            count = data[start + 2]
            first, last, bits = data[start + 3 + 2 * count : start + 6 + 2 * count]
            for one in range(count):
                if bits & 15 == 0:
                    exact.get(data[start + 3 + 2 * one], set()).update(range(first, last + 1))
    return all(len(found) == 64 for found in exact.values())


def _layout(data: bytes) -> _Layout:
    """Find the segments up to the end of the picture."""
    found: list[tuple[int, int, int]] = []
    place, markers = 2, 0
    while match := _MARKER.search(data, place):
        markers += 1
        if markers > _MAX_SEGMENTS:
            raise OversizeImage(f"the JPEG has over {_MAX_SEGMENTS:,} segments: save it again")
        marker, place = match[1][0], match.end()
        if marker == _EOI:
            return _Layout(tuple(found), place)
        if marker == _SOI:
            continue
        end = place + max(2, int.from_bytes(data[place : place + 2], "big"))
        if end > len(data):
            break
        found.append((marker, place, end))
        place = end
    return _Layout(tuple(found), 0)


def _check_kind(marker: int, bits: int) -> None:
    kinds = dict.fromkeys(_LOSSLESS, "a lossless JPEG")
    kinds |= dict.fromkeys(_HIERARCHICAL, "a hierarchical JPEG")
    kinds |= dict.fromkeys(_ARITHMETIC, "a JPEG with arithmetic coding")
    kinds[_LS] = "a JPEG-LS"
    if kind := kinds.get(marker) or (f"a {bits}-bit JPEG" if bits != 8 else ""):
        raise UnsupportedImage(f"this is {kind}, which is not supported: {CURE}")


def _check_scans(layout: _Layout, pixels: int) -> None:
    """Count the scans; a few hundred bytes can hold hundreds."""
    most = min(MAX_SCANS, MAX_SCANNED_PIXELS // max(1, pixels))
    if sum(marker == _SOS for marker, *_ in layout.segments) > most:
        raise OversizeImage(
            f"the JPEG has over {most} scans: save it as a baseline JPEG, or a smaller one"
        )
