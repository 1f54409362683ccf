"""PNG: the chunks that pixels need, and what the others say of them.

Source: PNG specification (third edition). As libpng does, an ancillary chunk that is damaged is
passed over: it says nothing about the pixels.
"""

import struct
import zlib
from collections.abc import Iterator

from pictures.decoding.errors import UnreadableImage, UnsupportedImage
from pictures.decoding.source import MAX_PROFILE, Source, orientation

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_GRAY, _RGB, _PALETTE, _GRAY_ALPHA = 0, 2, 3, 4
_MAX_CHUNKS = 2**17  # encoders write about one for each 8 KiB; 1 GiB is then at the bound
_MAX_EXIF = 2**16


def source(data: bytes) -> Source:
    """Return what is decoded of a PNG: its header, palette, transparency and pixels.

    Of an animation that is the picture that readers without animations show.

    Raises:
        UnsupportedImage: an iPhone app's own kind of PNG.
        UnreadableImage: the header is missing or damaged, or there are no pixels.
    """
    kept: list[bytes | memoryview] = []
    remarks: list[str] = []
    header = b""
    said: dict[bytes, bytes] = {}
    ended = False
    for kind, start, end in _chunks(data):
        body = memoryview(data)[start:end]
        if kind == b"IHDR" and not header:
            header = bytes(body)
            if len(header) != 13 or not _is_sound(data, kind, start, end):
                raise UnreadableImage("the PNG's header is damaged: send the picture again")
            kept.append(_chunk(kind, header))
        elif kind == b"CgBI":
            raise UnsupportedImage(
                "this is a PNG of an iPhone app (CgBI), which is not supported: convert it (xcrun "
                "-sdk iphoneos pngcrush -revert-iphone-optimizations IN.png OUT.png)"
            )
        elif kind == b"IDAT":
            kept += [struct.pack(">I", len(body)) + kind, body, bytes(4)]
        elif kind == b"PLTE":
            if not _is_sound(data, kind, start, end):
                raise UnreadableImage("the PNG's palette is damaged: send the picture again")
            kept.append(_chunk(kind, bytes(body[: 3 * 256])))
        elif kind == b"IEND":
            ended = True
            break
        elif kind in (b"tRNS", b"sBIT", b"iCCP", b"eXIf") and kind not in said:
            if _is_sound(data, kind, start, end):
                said[kind] = bytes(body[: MAX_PROFILE + 1])
            else:
                remarks.append(f"its {kind.decode()} chunk is damaged: it is passed over")
    if not header or not any(one[4:] == b"IDAT" for one in kept if len(one) == 8):
        raise UnreadableImage("the PNG is damaged or cut short: it has no pixels")
    if not ended:
        remarks.append("the PNG ends without its last chunk (IEND)")
    depth, colour = header[8], header[9]
    clear: tuple[int, ...] = ()
    if b"tRNS" in said and depth == 16:
        clear = _clear(said[b"tRNS"], colour)
    elif b"tRNS" in said:
        first = next(place for place, one in enumerate(kept) if one[4:8] == b"IDAT")
        kept.insert(first, _chunk(b"tRNS", said[b"tRNS"][:256]))
    return Source(
        b"".join([SIGNATURE, *kept, _chunk(b"IEND", b"")]),
        orientation=orientation(said.get(b"eXIf", b"")[:_MAX_EXIF]),
        profile=_profile(said.get(b"iCCP", b""), remarks),
        depth=depth,
        bits=_significant(said.get(b"sBIT", b""), depth, colour),
        clear=clear,
        remarks=tuple(remarks),
    )


def is_gray_with_alpha_in_16_bits(data: bytes) -> bool:
    """Whether Pillow needs to be asked for all bytes of a sample; it has no mode for them."""
    return data[24:26] == bytes([16, _GRAY_ALPHA])


def _chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yield name, first byte and end of each chunk's contents; the last one can be cut short."""
    place = len(SIGNATURE)
    for _ in range(_MAX_CHUNKS):
        if place + 8 > len(data):
            return
        length = int.from_bytes(data[place : place + 4], "big")
        yield data[place + 4 : place + 8], place + 8, min(place + 8 + length, len(data))
        place += length + 12
    raise UnreadableImage(f"the PNG has more than {_MAX_CHUNKS:,} chunks: save it again")


def _is_sound(data: bytes, kind: bytes, start: int, end: int) -> bool:
    return data[end : end + 4] == struct.pack(">I", zlib.crc32(data[start:end], zlib.crc32(kind)))


def _chunk(kind: bytes, body: bytes) -> bytes:
    crc = struct.pack(">I", zlib.crc32(body, zlib.crc32(kind)))
    return struct.pack(">I", len(body)) + kind + body + crc


def _clear(body: bytes, colour: int) -> tuple[int, ...]:
    count = {_GRAY: 1, _RGB: 3}.get(colour, 0)
    return struct.unpack(f">{count}H", body[: 2 * count]) if len(body) >= 2 * count else ()


def _significant(body: bytes, depth: int, colour: int) -> tuple[int, ...]:
    """Return sBIT's number for each channel, if they are allowed ones; a palette has three."""
    count = {_GRAY: 1, _GRAY_ALPHA: 2, _RGB: 3, _PALETTE: 3}.get(colour, 4)
    bits = tuple(body[:count])
    if colour == _PALETTE:
        depth = 8
    sound = len(bits) == count and all(0 < one <= depth for one in bits)
    return bits if sound and depth >= 8 and min(bits) < depth else ()


def _profile(body: bytes, remarks: list[str]) -> bytes:
    """Return the unpacked profile; nothing if it is damaged or larger than allowed."""
    packed = body.partition(b"\0")[2][1:]
    if not packed:
        return b""
    unpacker = zlib.decompressobj()
    try:
        profile = unpacker.decompress(packed, MAX_PROFILE)
    except zlib.error:
        remarks.append("its colour profile is damaged: it is passed over")
        return b""
    if not unpacker.eof:
        remarks.append("its colour profile is cut short or larger than 4 MiB: it is passed over")
        return b""
    return profile
