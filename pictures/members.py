"""What an archive from elsewhere can hold: how much, and under which names."""

import unicodedata
from dataclasses import dataclass

from pictures.text import printable

_NAME = 255  # bytes of a name: what file systems take
# Below this size an archive can be as compressible as it likes.
_FREE = 2**26


class ArchiveError(ValueError):
    """An archive that is damaged, or refused; the message says why."""


@dataclass(frozen=True)
class Limits:
    """The largest archive: members, bytes of all files, folders in folders, compression."""

    members: int = 20_000
    size: int = 2**35
    depth: int = 16
    ratio: int = 200  # of unpacked bytes to those of the archive

    def unpacked(self, packed: int) -> int:
        """Return the bytes that an archive of `packed` bytes can unpack to."""
        return min(self.size, max(_FREE, self.ratio * packed))


class Names:
    """The names in an archive: each is new, and below its folder.

    Args:
        limits: their number and depth.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._count = 0
        self._paths: dict[str, tuple[str, bool]] = {}  # folded -> path, and whether it is a file

    def count(self) -> None:
        """Count one more member.

        Raises:
            ArchiveError: there are too many.
        """
        self._count += 1
        if self._count > self._limits.members:
            raise ArchiveError(f"it has more than {self._limits.members:,} members")

    def check(self, name: str, *, is_file: bool) -> list[str]:
        """Return the parts of a member's path.

        Raises:
            ArchiveError: it is not the name of a new file in the folder, or of a folder in it.
        """
        shown = printable(name[:_NAME])
        parts = [part for part in name.split("/") if part not in ("", ".")]
        if name.startswith("/") or ".." in parts or "\\" in name or name[1:2] == ":":
            raise ArchiveError(f"the name {shown} leaves the folder")
        if name != printable(name):
            raise ArchiveError(f"the name {shown} has control characters")
        if any(len(part.encode()) > _NAME for part in parts):
            raise ArchiveError(f"the name {shown}… is too long")
        if len(parts) > self._limits.depth:
            raise ArchiveError(f"{shown} is more than {self._limits.depth} folders deep")
        if is_file and (not parts or name.endswith("/")):
            raise ArchiveError(f"{shown or 'a file without a name'} is not the name of a file")
        for depth in range(1, len(parts) + 1):
            path = "/".join(parts[:depth])
            here = (path, is_file and depth == len(parts))
            known = self._paths.setdefault(_folded(path), here)
            if known is not here and (known != here or here[1]):
                raise ArchiveError(f"{shown} occurs twice, perhaps in another case")
        return parts


def _folded(path: str) -> str:
    """Return what is equal for names that are one file on a Mac."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", path).casefold())
