"""Zip archives from elsewhere. The archive's directory counts, and only what it can be held to."""

import stat
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from pictures.members import ArchiveError, Limits, Names
from pictures.text import printable

_CHUNK = 2**20
_ENCRYPTED = 1
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


def unpack(
    packed: BinaryIO,
    folder: Path,
    wanted: Callable[[str], bool],
    limits: Limits,
    largest: int,
) -> list[Path]:
    """Unpack into a fresh folder, and return its files.

    Args:
        packed: the archive.
        folder: is empty.
        wanted: takes a file's name; other files are left out.
        limits: of the whole archive.
        largest: bytes of all files.

    Raises:
        ArchiveError: encrypted, links or special files, bad names, or more than the limits.
        zipfile.BadZipFile, zlib.error, EOFError: damaged or incomplete.
    """
    files: list[Path] = []
    names = Names(limits)
    with zipfile.ZipFile(packed) as archive:
        _check_overlap(archive.infolist())
        for member in archive.infolist():
            names.count()
            # ZipInfo cuts a name at a null byte, and turns other separators into slashes.
            parts = names.check(member.filename, is_file=_is_file(member))
            if not _is_file(member) or not wanted("/".join(parts)):
                continue
            target = folder.joinpath(*parts)
            target.parent.mkdir(parents=True, exist_ok=True)
            with archive.open(member) as source, target.open("xb") as file:
                while data := source.read(_CHUNK):
                    largest -= len(data)
                    if largest < 0:
                        raise ArchiveError("it unpacks to more bytes than are allowed")
                    file.write(data)
            files.append(target)
    return files


def _is_file(member: zipfile.ZipInfo) -> bool:
    """Return whether a member is a file; it is a folder otherwise.

    Raises:
        ArchiveError: it is neither, or cannot be read.
    """
    shown = printable(member.filename)
    mode = member.external_attr >> 16
    if stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
        kind = "a symbolic link" if stat.S_ISLNK(mode) else "a special file"
        raise ArchiveError(f"{shown} is {kind}: archives can have regular files and folders only")
    if member.flag_bits & _ENCRYPTED:
        raise ArchiveError(f"{shown} is encrypted: pack it again without a password")
    if member.compress_type not in _METHODS:
        raise ArchiveError(
            f"{shown} is compressed by method {member.compress_type}: pack it again as usual zip"
        )
    return not member.is_dir()


def _check_overlap(members: list[zipfile.ZipInfo]) -> None:
    """Refuse members that share bytes: a few kilobytes would unpack to terabytes."""
    end = 0
    for member in sorted(members, key=lambda one: one.header_offset):
        if member.header_offset < end:
            raise ArchiveError(f"{printable(member.filename)} overlaps another member")
        end = member.header_offset + 30 + member.compress_size
