"""TFRecord files: the file format of smdebug's and TensorBoard's events.

A record is its length (uint64), a checksum of the length, the content, and a checksum of the
content. All is little-endian; checksums are CRC-32C, rotated and offset. smdebug writes the
checksum of a constant instead of the content's, and accepts only that. Source:
tensorflow/core/lib/io/record_writer.cc, smdebug/core/tfrecord/record_writer.py.
"""

import struct
from collections.abc import Iterator
from pathlib import Path

_SMDEBUG = b"0x12345678"  # smdebug writes the checksum of this constant
_POLYNOMIAL = 0x82F63B78


def _table() -> tuple[int, ...]:
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (_POLYNOMIAL if byte & 1 else 0)
        table.append(byte)
    return tuple(table)


_TABLE = _table()


def checksum(data: bytes) -> int:
    """Return TFRecord's masked CRC-32C."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ _TABLE[(crc ^ byte) & 0xFF]
    crc ^= 0xFFFFFFFF
    return (crc >> 15 | crc << 17) + 0xA282EAD8 & 0xFFFFFFFF


_CONSTANT = checksum(_SMDEBUG)


def frame(record: bytes, *, smdebug: bool) -> bytes:
    """Return a record with length and checksums, for smdebug or for other readers."""
    length = struct.pack("<Q", len(record))
    check = _CONSTANT if smdebug else checksum(record)
    return length + struct.pack("<I", checksum(length)) + record + struct.pack("<I", check)


def records(path: Path, start: int = 0) -> Iterator[memoryview]:
    """Yield the records of a file from byte `start`, up to the first damaged or incomplete one.

    Only the checksums of lengths are checked: smdebug's files do not have those of the content.
    """
    try:
        with path.open("rb") as file:
            file.seek(start)
            left = path.stat().st_size - start
            while len(header := file.read(12)) == 12:
                length, check = struct.unpack("<QI", header)
                left -= length + 16
                if left < 0 or checksum(header[:8]) != check:
                    return
                yield memoryview(file.read(length))
                file.seek(4, 1)
    except (OSError, OverflowError):
        return
