"""The one unpacker of archives from elsewhere: bundles, recordings and photos; tar and zip.

An archive is a stranger: it holds regular files and folders or it is refused. Headers are read here
and nothing is left to a filter of a library, because some Pythons' `tarfile` has filters that an
archive can get past. Owners, modes and times are ignored.
"""

import gzip
import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

from pictures import zips
from pictures.members import ArchiveError as ArchiveError
from pictures.members import Limits as Limits
from pictures.members import Names
from pictures.text import printable

_BLOCK = tarfile.BLOCKSIZE
_CHUNK = 2**20
_LONG = 2**16  # bytes of a long name or of extended attributes
_LIMITS = Limits()
# Archives that are not unpacked: their first bytes and names.
_OTHERS = {
    b"BZh": "bzip2",
    b"\xfd7zXZ": "xz",
    b"\x28\xb5\x2f\xfd": "Zstandard",
    b"7z\xbc\xaf": "7-Zip",
    b"Rar!": "RAR",
}


def unpack(
    archive: Path,
    folder: Path,
    *,
    wanted: Callable[[str], bool] = lambda _name: True,
    limits: Limits = _LIMITS,
) -> list[Path]:
    """Unpack an archive into a fresh folder, and return its files.

    Args:
        archive: a `.tar.gz`, `.tar` or `.zip`; its first bytes decide.
        folder: does not exist yet, or is empty.
        wanted: takes a file's name, such as `model/model.onnx`; other files are left out.
        limits: of the whole archive, files that are left out included.

    Raises:
        ArchiveError: damaged or incomplete; links, devices or other special files; names that are
            absolute, leave the folder, hold control characters, or occur twice (also if they differ
            in case only); more than `limits`. What was unpacked is removed.
        OSError: the archive cannot be read, or the files cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise ArchiveError(f"{folder} is not empty: archives are unpacked into a new folder")
    try:
        with archive.open("rb") as packed:
            first = packed.read(8)
            packed.seek(0)
            largest = limits.unpacked(archive.stat().st_size)
            if first.startswith((b"PK\x03\x04", b"PK\x05\x06")):
                return zips.unpack(packed, folder, wanted, limits, largest)
            for magic, name in _OTHERS.items():
                if first.startswith(magic):
                    raise ArchiveError(f"it is packed with {name}: unpack it, or pack it as zip")
            with gzip.open(packed) if first[:2] == b"\x1f\x8b" else packed as stream:
                return _Reader(stream.read, largest, limits).unpack(folder, wanted)
    except (
        zipfile.BadZipFile,
        gzip.BadGzipFile,
        EOFError,
        zlib.error,
        tarfile.HeaderError,
    ) as error:
        _empty(folder)
        why = printable(str(error)) or type(error).__name__
        raise ArchiveError(f"{archive.name} is damaged or incomplete ({why})") from error
    except ArchiveError as error:
        _empty(folder)
        raise ArchiveError(f"{printable(archive.name)}: {error}") from error
    except BaseException:
        _empty(folder)
        raise


class _Reader:
    """Reads one archive from its beginning to its end."""

    def __init__(self, source: Callable[[int], bytes], size: int, limits: Limits) -> None:
        self._source = source
        self._left = size
        self._names = Names(limits)

    def unpack(self, folder: Path, wanted: Callable[[str], bool]) -> list[Path]:
        files: list[Path] = []
        attributes: dict[str, str] = {}  # of the next member
        while (header := self._header()) is not None:
            self._names.count()
            if header.type == tarfile.GNUTYPE_LONGNAME:
                attributes["path"] = _decode(self._text(header.size).split(b"\0")[0])
                continue
            if header.type == tarfile.XHDTYPE:
                attributes |= _attributes(self._text(header.size))
                continue
            if header.type == tarfile.XGLTYPE:
                self._text(header.size)
                continue
            name, size = attributes.get("path", header.name), header.size
            if "size" in attributes:
                size = _number(attributes["size"])
            is_file = self._check_kind(header, name, attributes)
            parts = self._names.check(name, is_file=is_file)
            attributes = {}
            if not is_file:
                if size:
                    raise ArchiveError(f"the folder {printable(name)} has a size")
                continue
            target = folder.joinpath(*parts) if wanted("/".join(parts)) else None
            self._copy(size, target)
            if target:
                files.append(target)
        self._drain()
        return files

    def _header(self) -> tarfile.TarInfo | None:
        """Return the next header; None at the end of the archive."""
        block = self._read(_BLOCK)
        if not block.strip(b"\0"):
            return None
        header = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
        if header.size < 0:
            raise ArchiveError(f"the size of {printable(header.name)} is negative")
        return header

    def _check_kind(self, header: tarfile.TarInfo, name: str, attributes: dict[str, str]) -> bool:
        """Return whether a member is a file; it is a folder otherwise.

        Raises:
            ArchiveError: it is neither.
        """
        sparse = any(key.startswith("GNU.sparse.") for key in attributes)
        if header.type in (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.CONTTYPE) and not sparse:
            return True
        if header.type == tarfile.DIRTYPE:
            return False
        kinds = {tarfile.SYMTYPE: "a symbolic link", tarfile.LNKTYPE: "a hard link"}
        kind = "a sparse file" if sparse else kinds.get(header.type, "a special file")
        raise ArchiveError(
            f"{printable(name)} is {kind}: archives can have regular files and folders only"
        )

    def _drain(self) -> None:
        """Read what follows the archive, usually zeros, so that gzip checks its checksum."""
        while data := self._source(_CHUNK):
            self._left -= len(data)
            if self._left < 0:
                raise ArchiveError("it unpacks to more bytes than are allowed")

    def _copy(self, size: int, target: Path | None) -> None:
        """Copy a file's contents to `target`, or pass over them."""
        if size > self._left:
            raise ArchiveError("it unpacks to more bytes than are allowed")
        if target is None:
            for start in range(0, size, _CHUNK):
                self._read(min(_CHUNK, size - start))
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("xb") as file:
                for start in range(0, size, _CHUNK):
                    file.write(self._read(min(_CHUNK, size - start)))
        self._read(-size % _BLOCK)

    def _text(self, size: int) -> bytes:
        """Read a long name or extended attributes."""
        if size > _LONG:
            raise ArchiveError(f"a header has {size:,} bytes, at most {_LONG:,} are allowed")
        data = self._read(size)
        self._read(-size % _BLOCK)
        return data

    def _read(self, size: int) -> bytes:
        """Read exactly `size` bytes.

        Raises:
            ArchiveError: more than the archive may unpack to.
            EOFError: the archive ends before.
        """
        self._left -= size
        if self._left < 0:
            raise ArchiveError("it unpacks to more bytes than are allowed")
        data = self._source(size)
        if len(data) < size:
            raise EOFError("it ends too early")
        return data


def _attributes(data: bytes) -> dict[str, str]:
    """Read extended attributes, lines such as `20 path=model.onnx`."""
    found: dict[str, str] = {}
    while data:
        length, space, _ = data[:20].partition(b" ")
        size = _number(_decode(length))
        line = data[len(length) + 1 : size]
        key, equals, value = line.partition(b"=")
        if not space or not equals or not line.endswith(b"\n") or size > len(data):
            raise ArchiveError("its extended attributes are damaged")
        found[_decode(key)] = _decode(value[:-1])
        data = data[size:]
    return found


def _number(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 20):
        raise ArchiveError(f"{printable(text[:20])} is not a size")
    return int(text)


def _decode(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def _empty(folder: Path) -> None:
    """Remove everything in the folder."""
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
