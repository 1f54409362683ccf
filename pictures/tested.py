"""The test pictures of an earlier job, by which a job that continues from its bundle keeps them.

The bundle holds the record. Names are in it as hashes of eight bytes each.
"""

import base64
import binascii
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pictures.picture import DataError, Picture, Splits


@dataclass(frozen=True)
class Tested:
    """The record of a bundle.

    Attributes:
        split_seed: of the job's split; None if its test pictures were given.
        keys: of the test pictures.
    """

    split_seed: int | None
    keys: frozenset[bytes]

    def among(self, pictures: Sequence[Picture], folders: Sequence[str]) -> list[Picture]:
        """Return the pictures that the bundle was tested with.

        A picture counts by its class and name, and also by its size where the test pictures were
        given: there each part has names of its own.
        """
        sized = self.split_seed is None
        return [one for one in pictures if _key(one, folders, sized=sized) in self.keys]

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
    keys = sorted(_key(one, splits.folders, sized=not made) for one in splits.test)
    return {
        "split_seed": splits.split_seed if made else None,
        "tested": base64.b64encode(b"".join(keys)).decode(),
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
    return Tested(seed, frozenset(data[at : at + 8] for at in range(0, len(data), 8)))


def _key(picture: Picture, folders: Sequence[str], *, sized: bool) -> bytes:
    text = f"{folders[picture.label]}\0{picture.own_name}"
    if sized:
        text += f"\0{picture.size}"
    return hashlib.blake2b(text.encode(errors="surrogateescape"), digest_size=8).digest()
