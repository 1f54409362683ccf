"""The test pictures of an earlier job, by which a job that continues from its bundle keeps them.

The bundle holds the record: names where the job split them off, else their contents, because each
given folder has names of its own. Both are hashes of eight bytes.
"""

import base64
import binascii
import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from pictures.picture import DataError, Picture, Splits
from pictures.shards import ShardError

_HASH = 8  # bytes
_THREADS = 16


@dataclass(frozen=True)
class Tested:
    """The record of a bundle.

    Attributes:
        split_seed: of the job's split; None if its test pictures were given.
        keys: of the test pictures: hashes of names, or sizes with hashes of contents.
    """

    split_seed: int | None
    keys: frozenset[bytes]

    def among(self, pictures: Sequence[Picture], folders: Sequence[str]) -> list[Picture]:
        """Return the pictures that the bundle was tested with.

        By contents, only files of a size that is in the record are read.
        """
        if self.split_seed is not None:
            return [one for one in pictures if _name(one, folders) in self.keys]
        sizes = {key[:_HASH] for key in self.keys}
        possible = [one for one in pictures if _size(one.size) in sizes]
        with ThreadPoolExecutor(_THREADS) as pool:
            found = zip(possible, pool.map(_contents, possible), strict=True)
            return [one for one, key in found if key in self.keys]

    def check_seed(self, split_seed: int) -> None:
        """Check that a job's split is the one of the bundle.

        Raises:
            DataError: it has another split_seed.
        """
        if self.split_seed not in (None, split_seed):
            raise DataError(
                f"the bundle that training continues from was split by split_seed "
                f"{self.split_seed}, this job by {split_seed}: its test pictures would be trained "
                f"on; set split_seed={self.split_seed}"
            )


def record(splits: Splits) -> dict[str, Any]:
    """Return the record of a job's test pictures, as JSON's types, for its bundle."""
    made = "test" in splits.made
    if made:
        keys = [_name(one, splits.folders) for one in splits.test]
    else:
        with ThreadPoolExecutor(_THREADS) as pool:
            keys = list(pool.map(_contents, splits.test))
    return {
        "split_seed": splits.split_seed if made else None,
        "tested": base64.b64encode(b"".join(sorted(keys))).decode(),
    }


def from_record(found: object) -> Tested | None:
    """Return what `record` returned; None for a bundle without one, or with a damaged one."""
    if not isinstance(found, dict):
        return None
    seed, text = found.get("split_seed"), found.get("tested")
    if not isinstance(text, str) or not (seed is None or isinstance(seed, int)):
        return None
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    step = 2 * _HASH if seed is None else _HASH
    return Tested(seed, frozenset(data[at : at + step] for at in range(0, len(data), step)))


def _name(picture: Picture, folders: Sequence[str]) -> bytes:
    text = f"{folders[picture.label]}\0{picture.own_name}"
    return _hash(text.encode(errors="surrogateescape"))


def _contents(picture: Picture) -> bytes:
    """Return the size and the hash of a picture's bytes; nothing if it cannot be read."""
    try:
        data = picture.read()
    except (OSError, ShardError):
        return b""
    return _size(len(data)) + _hash(data)


def _size(size: int) -> bytes:
    return max(0, size).to_bytes(_HASH, "big")


def _hash(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=_HASH).digest()
