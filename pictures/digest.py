"""Digests of a job's pictures and of their split: whether another start has the same ones."""

import hashlib
from collections.abc import Iterable
from dataclasses import asdict, dataclass

from pictures.picture import Splits


@dataclass(frozen=True)
class Digest:
    """SHA-256 in hexadecimal digits; equal on every machine, in any folder, packed or not.

    Attributes:
        pictures: of the names, sizes and classes of all pictures, in whatever part they are.
        split: of the part that each picture is in.
    """

    pictures: str
    split: str

    def as_json(self) -> dict[str, str]:
        """Return it for a checkpoint."""
        return asdict(self)


def digest(splits: Splits) -> Digest:
    """Return the digests of a job's pictures and of their split.

    A picture counts by its class folder, its name below that, and its size in bytes. Its contents
    are not read.

    Raises:
        OSError: a picture whose size is not known is gone.
    """
    pictures, placed = [], []
    for part, own in splits.parts().items():
        for one in own:
            size = one.size
            if size < 0:
                size = one.place.size if one.place else one.path.stat().st_size
            name = f"{splits.folders[one.label]}\0{one.own_name}"
            pictures.append(f"{one.label}\0{name}\0{size}")
            placed.append(f"{part}\0{name}")
    return Digest(_sha256(["\0".join(splits.folders), *sorted(pictures)]), _sha256(sorted(placed)))


def _sha256(lines: Iterable[str]) -> str:
    found = hashlib.sha256()
    for line in lines:
        found.update(line.encode(errors="surrogateescape") + b"\n")
    return found.hexdigest()
