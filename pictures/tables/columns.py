"""Which column of a table is the picture, the label and the split."""

from collections.abc import Sequence

from pictures.picture import DataError, shorten
from pictures.tables.table import Table, TableOptions

# Usual names, the clearest first; in lower case and without `_`, `-` and spaces.
_PICTURE = (
    *("sourceref", "imageref", "picture", "image", "imagepath", "imagefile", "imagename"),
    *("filename", "filepath", "filepaths", "file", "path", "img", "imgpath", "imgname", "photo"),
    *("imageid", "imgid", "photoid", "pictureid", "images", "id", "name", "uuid"),
)
_LABEL = (
    *("label", "labels", "class", "classname", "labelname", "breed", "breeds", "category"),
    *("categoryname", "species", "variety", "diagnosis", "dx", "disease", "target", "tag", "y"),
    *("classlabel", "classid", "labelid", "categoryid", "classindex"),
)
_SPLIT = ("split", "subset", "partition", "set", "dataset", "usage", "phase")


def choose(table: Table, options: TableOptions) -> tuple[str, str, str]:
    """Return the columns of pictures, labels and splits; the last one can be empty.

    Raises:
        DataError: a column is missing, or several could be it.
    """
    picture = _given(table, options.picture, "picture_column") or table.picture
    label = _given(table, options.label, "label_column") or table.label
    split = _given(table, options.split, "split_column") or _first(table, _SPLIT, {picture, label})
    picture = picture or _first(table, _PICTURE, {label, split})
    label = label or _label(table, {picture, split})
    others = [name for name in table.columns if name not in (picture, label, split)]
    if not label and picture and len(others) == 1:
        label = others[0]
    if not picture and label and len(others) == 1:
        picture = others[0]
    if not picture or not label:
        missing = "picture" if not picture else "label"
        raise DataError(
            f"{table.path} has the columns {shorten(table.columns, 10)}: none is known as the "
            f"{missing}; set {missing}_column, or name the columns `picture,label` in its first "
            "line"
        )
    return picture, label, split


def _given(table: Table, name: str, option: str) -> str:
    if name and name not in table.columns:
        raise DataError(
            f"{table.path} has no column {name!r} ({option}): its columns are "
            f"{shorten(table.columns, 10)}"
        )
    return name


def _first(table: Table, usual: Sequence[str], taken: set[str]) -> str:
    """Return the column with the clearest of the usual names, or an empty string."""
    return (*_known(table, usual, taken), "")[0]


def _known(table: Table, usual: Sequence[str], taken: set[str]) -> list[str]:
    plain = {
        name: name.lower().replace("_", "").replace("-", "").replace(" ", "")
        for name in table.columns
        if name not in taken
    }
    known = [name for name in plain if plain[name] in usual]
    return sorted(known, key=lambda name: usual.index(plain[name]))


def _label(table: Table, taken: set[str]) -> str:
    """Return the column of the labels; a column of numbers next to one of names is no second."""
    known = _known(table, _LABEL, taken)
    for other in known[1:]:
        pairs = {(row.fields[known[0]], row.fields[other]) for row in table.rows}
        one_way, other_way = {one for one, _ in pairs}, {two for _, two in pairs}
        if not len(pairs) == len(one_way) == len(other_way):
            raise DataError(
                f"{table.path} has the columns {known[0]} and {other}, which differ: set "
                "label_column to one of them"
            )
    return known[0] if known else ""
