"""A table of labels: where it is, what in it names what, and its rows."""

from dataclasses import dataclass
from pathlib import Path

SUFFIXES = (".csv", ".tsv", ".jsonl", ".ndjson", ".manifest")
NONE = "none"  # as the name of the table: read no table


@dataclass(frozen=True)
class TableOptions:
    """What the user says of the table, as hyperparameters; an empty string means: find it.

    Attributes:
        file: its name, next to the pictures; `none` for no table.
        picture: the column (or JSON field) with the names of the pictures.
        label: the column with the labels; of a Ground Truth manifest, the label attribute.
        split: the column that says train, valid or test.
    """

    file: str = ""
    picture: str = ""
    label: str = ""
    split: str = ""


FIND = TableOptions()


@dataclass(frozen=True, slots=True)
class Row:
    """One row: its line in the file, and the text in each column."""

    line: int
    fields: dict[str, str]


@dataclass(frozen=True)
class Table:
    """A table that was read.

    Attributes:
        path: of the file.
        columns: their names, in order.
        rows: all rows.
        picture: the column of the pictures, if the format says so.
        label: the column of the labels, if the format says so.
        skipped: lines that have no label for a reason that the file tells.
    """

    path: Path
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    picture: str = ""
    label: str = ""
    skipped: tuple[str, ...] = ()
