"""The files that a table names: by path, by path without suffix, by name alone, or in S3."""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from unicodedata import normalize

from pictures.layouts.walk import File
from pictures.picture import DataError, shorten
from pictures.tables.table import SUFFIXES, Table

_DRIVE = ":"
_LOOKED_AT = 100  # rows


def names_files(table: Table, files: Sequence[File], picture: str) -> bool:
    """Whether the first rows name files: other tables can have columns with usual names."""
    known = _Names(files, table)
    for row in table.rows[:_LOOKED_AT]:
        parts = row.fields[picture].replace("\\", "/").split("/")
        if any(known.has("/".join(parts[drop:])) for drop in range(len(parts))):
            return True
    return False


def places(table: Table, files: Sequence[File], picture: str) -> list[File]:
    """Return the file of each row. Names are compared, never opened.

    A name can be a path, a path without suffix, a file's name alone wherever it is, or an address
    in S3. What all names begin with, such as a bucket, can be missing on disk.
    """
    names = [_parts(table, row.line, row.fields[picture]) for row in table.rows]
    common = _common(names)
    known = _Names(files, table)
    best: list[File | None] = []
    for drop in range(len(common) + 1):
        found = [known.find("/".join(parts[drop:])) for parts in names]
        if sum(one is not None for one in found) > sum(one is not None for one in best):
            best = found
        if None not in found:
            break
    missing = [
        f"{'/'.join(parts)} (line {row.line})"
        for row, parts, file in zip(table.rows, names, best or [None] * len(names), strict=True)
        if file is None
    ]
    if missing:
        _check_first_line(table, files)
        raise DataError(
            f"{len(missing)} pictures of {table.path} are not below {table.path.parent}: "
            f"{shorten(missing)}: add them, or remove the rows"
        )
    return [file for file in best if file is not None]


def _check_first_line(table: Table, files: Sequence[File]) -> None:
    """Tell a table without a header by a picture in its first line."""
    names = {file.name for file in files}
    if any(name in names for name in table.columns):
        raise DataError(f"{table.path} has no header: make `picture,label` its first line")


def _parts(table: Table, line: int, name: str) -> list[str]:
    """Return the parts of a picture's path.

    Raises:
        DataError: it is empty or leaves the folder.
    """
    text = normalize("NFC", name).replace("\\", "/").removeprefix("s3://")
    parts = [part for part in text.split("/") if part not in ("", ".")]
    local = text == normalize("NFC", name).replace("\\", "/")
    if not parts:
        raise DataError(f"{table.path}, line {line}: the name of the picture is missing")
    if ".." in parts or (local and (text.startswith("/") or text[1:2] == _DRIVE)):
        raise DataError(
            f"{table.path}, line {line}: {shorten([name[:100]])} leaves the folder: write paths "
            f"from the folder of {table.path.name} on"
        )
    return parts


def _common(names: Sequence[list[str]]) -> list[str]:
    """Return the folders that all paths begin with."""
    folders = [parts[:-1] for parts in names]
    first, last = min(folders), max(folders)
    same = 0
    while same < min(len(first), len(last)) and first[same] == last[same]:
        same += 1
    return first[:same]


class _Names:
    """The files below a folder, by every way to name them."""

    def __init__(self, files: Sequence[File], table: Table) -> None:
        self._table = table
        self._by_path: dict[str, File] = {}
        self._by_stem: dict[str, list[File]] = defaultdict(list)
        self._by_name: dict[str, list[File]] = defaultdict(list)
        for file in files:
            if file.path == table.path or Path(file.name).suffix.lower() in SUFFIXES:
                continue
            path = PurePosixPath(normalize("NFC", file.name))
            self._by_path[str(path)] = file
            self._by_stem[str(path.with_suffix(""))].append(file)
            self._by_name[path.name].append(file)
            if path.stem != path.name:
                self._by_name[path.stem].append(file)

    def find(self, name: str) -> File | None:
        """Return the file; None if there is none.

        Raises:
            DataError: there are several.
        """
        if name in self._by_path:
            return self._by_path[name]
        found = self._by_stem.get(name) or ([] if "/" in name else self._by_name.get(name, []))
        if len(found) > 1:
            raise DataError(
                f"{self._table.path}: the name {shorten([name])} fits "
                f"{shorten([file.name for file in found], 3)}: write its path and suffix"
            )
        return found[0] if found else None

    def has(self, name: str) -> bool:
        """Whether there is such a file."""
        name = normalize("NFC", name)
        return name in self._by_path or name in self._by_stem or name in self._by_name
