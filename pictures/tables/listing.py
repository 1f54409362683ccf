"""Rows of a table and the files next to it, put together: the pictures of each split by class."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from unicodedata import normalize

from pictures.layouts.names import class_name
from pictures.layouts.splits import ACCEPTED, split_of
from pictures.layouts.walk import File
from pictures.picture import DataError, Listing, Passed, Sample, shorten
from pictures.tables import columns
from pictures.tables.table import SUFFIXES, Table, TableOptions

_MAX_LABEL = 200  # characters
_DRIVE = ":"
_LOOKED_AT = 100  # rows


@dataclass(frozen=True, slots=True)
class _Use:
    """What a row says of a file."""

    line: int
    file: File
    label: str
    split: str


def listings(table: Table, files: Sequence[File], options: TableOptions) -> dict[str, Listing]:
    """Return the pictures of each split that the table has; `train` alone if it has none.

    A picture's split is that of its row, or else the split folder that it is in.

    Args:
        table: was read.
        files: all files below the table's folder.
        options: the names of columns.

    Raises:
        DataError: pictures that are missing, two labels for one, rows without a label, and the
            like; with lines and the cure.
    """
    picture, label, split = columns.choose(table, options)
    uses = list(_uses(table, files, picture, label, split))
    notes = [_described(table, picture, label, split, len(uses))]
    notes += _on_repeats(table, uses)
    passed = Passed()
    named = {use.file.name for use in uses}
    for file in files:
        if file.path != table.path and file.name not in named:
            other = Path(file.name).suffix.lower() in SUFFIXES
            passed.add("other tables" if other else f"not in {table.path.name}", file.path)
    by_split: dict[str, dict[str, dict[str, Sample]]] = defaultdict(lambda: defaultdict(dict))
    for use in uses:
        sample = Sample(use.file.name, use.file.path, use.file.size)
        by_split[use.split][use.label][use.file.name] = sample
    found: dict[str, Listing] = {
        part: Listing(
            {
                name: sorted(by_split[part][name].values(), key=lambda one: one.name)
                for name in _in_order(by_split[part])
            }
        )
        for part in ("train", "valid", "test")
        if part in by_split
    }
    if "train" not in found:
        raise DataError(f"{table.path} has no row for train: training needs pictures")
    first = found["train"]
    found["train"] = Listing(first.classes, tuple(notes), passed)
    return found


def names_files(table: Table, files: Sequence[File], picture: str) -> bool:
    """Whether the first rows name files: other tables can have columns with usual names."""
    known = _Names(files, table)
    for row in table.rows[:_LOOKED_AT]:
        parts = row.fields[picture].replace("\\", "/").split("/")
        if any(known.has("/".join(parts[drop:])) for drop in range(len(parts))):
            return True
    return False


def _described(table: Table, picture: str, label: str, split: str, count: int) -> str:
    used = f"pictures by {picture!r}, labels by {label!r}"
    used += f", splits by {split!r}" if split else ""
    text = f"labels are read from {table.path.name}: {count} rows, {used}"
    if table.skipped:
        text += f"; {len(table.skipped)} lines without a label ({shorten(table.skipped, 3)})"
    return text


def _uses(
    table: Table, files: Sequence[File], picture: str, label: str, split: str
) -> Iterator[_Use]:
    """Yield what each row says.

    Raises:
        DataError: of all rows together, the first kind of fault.
    """
    if not table.rows:
        raise DataError(f"the table {table.path} has a header and no rows")
    unlabelled = [f"line {row.line}" for row in table.rows if not row.fields[label]]
    if unlabelled:
        raise DataError(
            f"{table.path} has {len(unlabelled)} rows without a label ({shorten(unlabelled)}): "
            "fill in the column, or remove the rows"
        )
    places = _places(table, files, picture)
    labels: dict[str, tuple[str, int]] = {}
    by_case: dict[str, str] = {}
    for row, file in zip(table.rows, places, strict=True):
        name = class_name(row.fields[label])
        _check_label(table, row.line, name, by_case)
        known, line = labels.setdefault(file.name, (name, row.line))
        if known != name:
            raise DataError(
                f"{table.path} gives {shorten([file.name])} two labels, {known} (line {line}) and "
                f"{name} (line {row.line}): keep one"
            )
        part = _part(table, row.line, row.fields[split]) if split else _folder_part(file)
        yield _Use(row.line, file, name, part or "train")


def _check_label(table: Table, line: int, name: str, by_case: dict[str, str]) -> None:
    plain = name.isprintable() and not set(name) & {"/", "\\"} and name not in (".", "..")
    if not name or len(name) > _MAX_LABEL or not plain:
        raise DataError(
            f"{table.path}, line {line}: {shorten([name[:60]])} cannot be the name of a class: use "
            f"up to {_MAX_LABEL} characters on one line, without / and \\"
        )
    known = by_case.setdefault(name.casefold(), name)
    if known != name and len(name) > 1:
        raise DataError(
            f"{table.path}, line {line}: the labels {known} and {name} differ in case only: write "
            "them alike"
        )


def _part(table: Table, line: int, value: str) -> str:
    if part := split_of(value, loose=True):
        return part
    raise DataError(
        f"{table.path}, line {line}: {shorten([value[:60]]) or 'nothing'!r} is no split: the names "
        f"are {ACCEPTED}"
    )


def _folder_part(file: File) -> str:
    first, slash, _ = file.name.partition("/")
    return split_of(first) if slash else ""


def _places(table: Table, files: Sequence[File], picture: str) -> list[File]:
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


def _in_order(names: Iterable[str]) -> list[str]:
    """Return class names sorted; numbers by their value, so that class 10 follows class 9."""
    listed = list(names)
    numbers = all(name.isascii() and name.isdecimal() for name in listed)
    return sorted(listed, key=lambda name: (int(name) if numbers else 0, name))


def _on_repeats(table: Table, uses: Sequence[_Use]) -> list[str]:
    seen: set[str] = set()
    splits: dict[str, str] = {}
    repeats: list[str] = []
    for use in uses:
        if splits.setdefault(use.file.name, use.split) != use.split:
            raise DataError(
                f"{table.path} puts {shorten([use.file.name])} into two splits, "
                f"{splits[use.file.name]} and {use.split} (line {use.line}): keep one"
            )
        if use.file.name in seen:
            repeats.append(f"line {use.line}")
        seen.add(use.file.name)
    if not repeats:
        return []
    return [f"{len(repeats)} rows of {table.path.name} repeat a picture ({shorten(repeats, 3)})"]
