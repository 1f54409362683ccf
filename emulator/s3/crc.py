"""CRC-32C and CRC-64/NVME, which Python does not have, by numpy.

A row of words, followed by a row of zeros, has the same remainder as one row of other words: those
that `_tables` has. So the rows of a body are folded into one, all words of a row at once; then this
row is cut into shorter ones, and only the last of these goes byte by byte.
"""

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

_WIDE, _NARROW = 2**14, 2**9  # bytes of a row
# bits -> the polynomial in reversed order, from the catalogue of CRC algorithms (CRC RevEng).
_POLYNOMIALS = {32: 0x82F63B78, 64: 0x9A6C9329AC4BC9B5}
Words = NDArray[np.unsignedinteger[Any]]


class Crc:
    """A checksum with hashlib's methods.

    Args:
        bits: 32 for CRC-32C, 64 for CRC-64/NVME.
    """

    def __init__(self, bits: int) -> None:
        self._bits = bits
        self._ones: int = 2**bits - 1
        self._wide = _Fold(bits, _WIDE, self._ones)

    def update(self, data: bytes) -> None:
        """Add bytes."""
        self._wide.update(data)

    def digest(self) -> bytes:
        """Return the checksum, the highest byte first, as S3 has it."""
        narrow = _Fold(self._bits, _NARROW, self._wide.first)
        narrow.update(self._wide.left())
        bytewise = _bytewise(self._bits)
        value = narrow.first
        for byte in narrow.left():
            value = bytewise[(value ^ byte) & 0xFF] ^ (value >> 8)
        return int(value ^ self._ones).to_bytes(self._bits // 8, "big")


class _Fold:
    """Bytes as one row and less than a row, with the same remainder.

    Args:
        bits: of the checksum.
        size: of a row.
        first: the remainder before the first byte; 0 as soon as it is in the row.
    """

    def __init__(self, bits: int, size: int, first: int) -> None:
        self._bits, self._size, self.first = bits, size, first
        self._row: Words | None = None
        self._rest = b""

    def update(self, data: bytes) -> None:
        """Add bytes."""
        data = self._rest + data
        whole = len(data) // self._size * self._size
        self._rest = data[whole:]
        rows = np.frombuffer(data[:whole], f"<u{self._bits // 8}")
        for row in rows.reshape(-1, self._size * 8 // self._bits):
            if self._row is None:
                self._row = row.copy()
                self._row[0] ^= row.dtype.type(self.first)
                self.first = 0
            else:
                self._row = self._later(self._row) ^ row

    def left(self) -> bytes:
        """Return the row and the rest."""
        return (b"" if self._row is None else self._row.tobytes()) + self._rest

    def _later(self, row: Words) -> Words:
        """Return the words that stand for a row, one row later."""
        halves = row.view("<u2").reshape(len(row), -1)
        tables = _tables(self._bits, self._size)
        found: Words = tables[0].take(halves[:, 0])
        for number in range(1, len(tables)):
            found ^= tables[number].take(halves[:, number])
        return found


@cache
def _bytewise(bits: int) -> list[int]:
    """Return the remainders of all bytes."""
    found = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (_POLYNOMIALS[bits] if value & 1 else 0)
        found.append(value)
    return found


@cache
def _tables(bits: int, size: int) -> list[Words]:
    """Return, for each 16 bits of a word, what 65,536 values are `size` bytes later."""
    kind = np.dtype(f"<u{bits // 8}").type
    bytewise = np.array(_bytewise(bits), kind)
    single = kind(1) << np.arange(bits, dtype=kind)
    for _ in range(size):
        single = bytewise[single & kind(0xFF)] ^ single >> kind(8)
    tables = []
    for start in range(0, bits, 16):
        table = np.zeros(1, kind)
        for one in single[start : start + 16]:
            table = np.concatenate([table, table ^ one])
        tables.append(table)
    return tables
