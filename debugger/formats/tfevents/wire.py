"""The part of Protobuf's wire format that event files need.

Source: protobuf.dev/programming-guides/encoding. Every length in a message is checked against the
number of bytes that exist.
"""

import struct
from collections.abc import Iterator

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
Value = int | memoryview  # a varint, or the bytes of any other field


class Damaged(ValueError):
    """The bytes are not a valid message."""


def fields(message: memoryview) -> Iterator[tuple[int, Value]]:
    """Yield number and value of each field, in order.

    Raises:
        Damaged: the message is invalid or ends within a field.
    """
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        kind = key & 7
        if kind == VARINT:
            number, at = _varint(message, at)
            yield key >> 3, number
            continue
        if kind == BYTES:
            length, at = _varint(message, at)
        elif kind in (FIXED64, FIXED32):
            length = 8 if kind == FIXED64 else 4
        else:
            raise Damaged(f"a field of unknown type {kind}")
        if length > len(message) - at:
            raise Damaged(f"a field of {length} bytes, but only {len(message) - at} are left")
        yield key >> 3, message[at : at + length]
        at += length


def number(value: Value) -> int:
    """Return an int64 field.

    Raises:
        Damaged: it is not a varint.
    """
    if not isinstance(value, int):
        raise Damaged("expected a number, found bytes")
    return value - (1 << 64) if value >> 63 else value


def content(value: Value) -> memoryview:
    """Return the bytes of a field.

    Raises:
        Damaged: it is a varint.
    """
    if isinstance(value, int):
        raise Damaged("expected bytes, found a number")
    return value


def text(value: Value) -> str:
    """Return a string field; bytes that are not UTF-8 are replaced."""
    return bytes(content(value)).decode(errors="replace")


def real(value: Value) -> float:
    """Return a float or double field.

    Raises:
        Damaged: it is neither.
    """
    found = content(value)
    if len(found) not in (4, 8):
        raise Damaged(f"a float of {len(found)} bytes")
    read: float = struct.unpack("<d" if len(found) == 8 else "<f", found)[0]
    return read


def put_number(field: int, value: int) -> bytes:
    """Return an integer field."""
    return _put(field << 3 | VARINT) + _put(value & (1 << 64) - 1)


def put_bytes(field: int, value: bytes | str) -> bytes:
    """Return a field of bytes, a string or a message."""
    written = value.encode() if isinstance(value, str) else value
    return _put(field << 3 | BYTES) + _put(len(written)) + written


def put_double(field: int, value: float) -> bytes:
    """Return a double field."""
    return _put(field << 3 | FIXED64) + struct.pack("<d", value)


def put_float(field: int, value: float) -> bytes:
    """Return a float field; numbers too large for float32 become infinite."""
    try:
        written = struct.pack("<f", value)
    except OverflowError:
        written = struct.pack("<f", float("inf") if value > 0 else float("-inf"))
    return _put(field << 3 | FIXED32) + written


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for place in range(10):
        if at + place >= len(message):
            raise Damaged("the message ends within a number")
        byte = message[at + place]
        value |= (byte & 0x7F) << 7 * place
        if byte < 0x80:
            return value & (1 << 64) - 1, at + place + 1
    raise Damaged("a number of more than ten bytes")


def _put(value: int) -> bytes:
    written = bytearray()
    while value > 0x7F:
        written.append(value & 0x7F | 0x80)
        value >>= 7
    written.append(value)
    return bytes(written)
