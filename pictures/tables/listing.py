"""Rows of a table and the files next to it, put together: the pictures of each split by class."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pictures.layouts.names import class_name
from pictures.layouts.splits import ACCEPTED, split_of
from pictures.layouts.walk import File
from pictures.picture import DataError, Listing, Passed, Sample, shorten
from pictures.tables import columns
from pictures.tables.places import places
from pictures.tables.table import SUFFIXES, Table, TableOptions

_MAX_LABEL = 200  # characters

READ_FROM = "labels are read from"  # how the note about a table begins


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


def _described(table: Table, picture: str, label: str, split: str, count: int) -> str:
    used = f"pictures by {picture!r}, labels by {label!r}"
    used += f", splits by {split!r}" if split else ""
    text = f"{READ_FROM} {table.path.name}: {count} rows, {used}"
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
    found = places(table, files, picture)
    labels: dict[str, tuple[str, int]] = {}
    by_case: dict[str, str] = {}
    for row, file in zip(table.rows, found, strict=True):
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
