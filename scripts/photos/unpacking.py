"""A folder of photos from a zip or tar archive of it, unpacked for as long as it is needed."""

import contextlib
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pictures import archive
from pictures.archive import ArchiveError, Limits
from pictures.text import printable
from scripts.console import progress
from scripts.problem import Problem

_MEMBERS = 5_000_000
# What archives start with, also those that are refused by name; old tar files start with nothing.
_ARCHIVE = re.compile(
    rb"PK|\x1f\x8b|BZh|\xfd7zXZ|\x28\xb5\x2f\xfd|7z\xbc\xaf|Rar!|.{257}ustar", re.DOTALL
)
_START = 262
_SUFFIXES = (".zip", ".tar", ".tgz", ".gz")
_SPARE = 2**30  # bytes of the disk that stay free


@contextmanager
def folder_of(given: Path) -> Iterator[Path]:
    """Yield a folder of photos: the one that is given, or the contents of an archive.

    Archives are unpacked next to themselves, into a hidden folder that is removed afterwards.

    Raises:
        Problem: there is no such file or folder, or the archive is damaged or refused.
    """
    if not given.is_file():
        yield given
        return
    with given.open("rb") as file:
        start = file.read(_START)
    if given.suffix.lower() not in _SUFFIXES and not _ARCHIVE.match(start):
        raise Problem(
            f"{printable(str(given))} is neither a folder nor an archive: give the folder with the "
            "photos, or a zip or tar of it"
        )
    folder: Path | None = None
    with contextlib.ExitStack() as stack:
        try:
            free = shutil.disk_usage(given.parent).free - _SPARE
            temporary = stack.enter_context(
                tempfile.TemporaryDirectory(prefix=".kennel-", dir=given.parent)
            )
            folder = Path(temporary) / (given.name.split(".")[0][:60] or "photos")
            limits = Limits(members=_MEMBERS, size=max(0, free))
            with progress.working(f"unpacking {printable(given.name)}"):
                archive.unpack(given, folder, limits=limits)
        except ArchiveError as error:
            raise Problem(str(error)) from error
        except OSError as error:
            raise Problem(
                f"unpacking {printable(str(given))} failed ({error}): free some of the disk, or "
                "unpack it elsewhere"
            ) from error
        yield folder
