"""Which table of labels belongs to a folder of pictures, if any."""

from collections.abc import Sequence
from pathlib import Path

from pictures.layouts.splits import split_of
from pictures.layouts.walk import File, files_below, subfolders
from pictures.picture import DataError, Listing, Passed, shorten
from pictures.tables import columns, reading
from pictures.tables.listing import listings
from pictures.tables.places import names_files
from pictures.tables.table import NONE, SUFFIXES, Table, TableOptions

_DEPTH = 4  # folders around the table, as zip files make them
# Names of tables, the clearest first.
_USUAL = ("labels", "label", "train_labels", "trainlabels", "annotations", "metadata", "train")


def find(
    root: Path, options: TableOptions, *, required: bool
) -> tuple[Path, dict[str, Listing]] | None:
    """Return the table's folder, and the pictures of each split that it has; None without a table.

    A folder without class folders is read by the table in it. Next to class folders a table is
    read if the options name it.

    Args:
        root: a channel, or the folder of a split.
        options: what the user says of the table.
        required: a table that the options name has to be there.

    Raises:
        DataError: it is unclear which table is meant, or whether it or the folders count; or as
            `listings`.
    """
    if options.file == NONE:
        return None
    folder = root
    for _ in range(_DEPTH):
        folders, loose = subfolders(folder, Passed())
        tables = [file for file in loose if file.path.suffix.lower() in SUFFIXES]
        if tables or len(folders) != 1:
            break
        folder = folders[0]
    files = files_below(folder, Passed()) if tables else []
    if options.file:
        named = [file for file in tables if file.name == options.file]
        if named:
            table = reading.read(named[0].path, options.label)
            return folder, listings(table, files, options)
        if not required:
            return None
        raise DataError(
            f"there is no table {shorten([options.file])} in {root}"
            + (f"; there is {shorten([file.name for file in tables])}" if tables else "")
        )
    table_ = _choose(folder, folders, tables, files, options)
    return None if table_ is None else (folder, listings(table_, files, options))


def _choose(
    root: Path,
    folders: Sequence[Path],
    tables: Sequence[File],
    files: Sequence[File],
    options: TableOptions,
) -> Table | None:
    """Return the table by which a folder is read, None if its class folders are."""
    if not tables:
        return None
    usable: list[Table] = []
    faults: list[DataError] = []
    for file in tables:
        try:
            table = reading.read(file.path, options.label)
            picture = columns.choose(table, options)[0]
        except DataError as error:
            faults.append(error)
            continue
        if names_files(table, files, picture):
            usable.append(table)
    classes = _class_folders(folders)
    if classes:
        for table in usable:
            _check_agrees(root, table, classes, options)
        return None
    if not usable:
        if faults and any(file.path.suffix.lower() not in SUFFIXES for file in files):
            raise faults[0]
        return None if faults else _first(tables, options)
    if len(usable) == 1:
        return usable[0]
    known = sorted(
        (table for table in usable if table.path.stem.lower() in _USUAL),
        key=lambda table: _USUAL.index(table.path.stem.lower()),
    )
    if known:
        return known[0]
    raise DataError(
        f"{root} has several tables with labels ({shorten([one.path.name for one in usable])}): "
        "set table to the name of one"
    )


def _first(tables: Sequence[File], options: TableOptions) -> Table:
    """Return the only table, whose pictures are missing: the error that follows names them."""
    return reading.read(tables[0].path, options.label)


def _class_folders(folders: Sequence[Path]) -> list[str]:
    """Return the names of the class folders; one folder alone can be that of all pictures."""
    inside = [
        inner.name
        for folder in folders
        if split_of(folder.name, loose=True)
        for inner in subfolders(folder, Passed())[0]
    ]
    beside = [folder.name for folder in folders if not split_of(folder.name, loose=True)]
    return inside or (beside if len(beside) > 1 else [])


def _check_agrees(root: Path, table: Table, classes: Sequence[str], options: TableOptions) -> None:
    """Check that a table next to class folders has their names as its labels."""
    _, label, _ = columns.choose(table, options)
    labels = {row.fields[label].casefold() for row in table.rows}
    if not labels <= {name.casefold() for name in classes}:
        other = sorted(row.fields[label] for row in table.rows)
        raise DataError(
            f"{root} has the folders {shorten(sorted(set(classes)), 3)} and the table "
            f"{table.path.name} with other labels ({shorten(sorted(set(other)), 3)}): set "
            f"table={table.path.name} to read it, or table={NONE} to read the folders"
        )
