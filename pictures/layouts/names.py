"""Names of folders and files that would go wrong later: they are refused, with the cure."""

import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from pictures.picture import DataError, shorten

# How to write names in UTF-8; Western European names from Windows are the usual case.
_TO_UTF8 = "convmv -f cp1252 -t utf8 -r --notest"


def class_name(folder: str) -> str:
    """Return the name of a folder's class: in Unicode's composed form, without spaces around it."""
    return unicodedata.normalize("NFC", folder).strip()


def check_names(root: Path, names: Iterable[str]) -> None:
    r"""Check names of files and folders, as paths below `root`.

    Raises:
        DataError: names that are not UTF-8, or have a backslash.
    """
    undecoded: list[str] = []
    backslashes: list[str] = []
    for name in names:
        if "\\" in name:
            backslashes.append(name)
        if not name.isascii() and any("\ud800" <= one <= "\udfff" for one in name):
            undecoded.append(name)
    if undecoded:
        raise DataError(
            f"names in {root} that are not UTF-8: {shorten(undecoded)}: S3 and the "
            f"model's list of classes need UTF-8; rename them, for example `{_TO_UTF8} {root}`"
        )
    if backslashes:
        raise DataError(
            f"names in {root} with a backslash: {shorten(backslashes)}: an "
            "archive from Windows was unpacked without its folders; unpack it with 7-Zip (`7z x`), "
            "or rename the files"
        )


def check_classes(root: Path, folders: Sequence[str]) -> None:
    """Check that no two class folders have one name, for a person or for another disk.

    Single characters are classes of their own: `a` and `A` in a set of handwritten letters.

    Raises:
        DataError: folders whose names differ in spaces, in the Unicode form or in case only.
    """
    nameless = [name for name in folders if not class_name(name)]
    if nameless:
        raise DataError(f"a class folder in {root} has only spaces as its name: rename it")
    same = _twice(folders, class_name)
    if same:
        raise DataError(
            f"class folders in {root} have one name in two ways, by spaces or by the form of "
            f"their Unicode: {_escaped(same)}: move their pictures into one folder"
        )
    case = _twice(folders, lambda name: class_name(name).casefold())
    if case and any(len(class_name(name)) > 1 for name in case):
        raise DataError(
            f"class folders in {root} differ in case only: {_escaped(case)}: on macOS and Windows "
            "they are one folder; move their pictures into one folder, or rename one"
        )


def _twice(folders: Sequence[str], key: Callable[[str], str]) -> list[str]:
    """Return the names that have the same key as another, those of the longest first."""
    by_key: dict[str, list[str]] = defaultdict(list)
    for name in folders:
        by_key[key(name)].append(name)
    groups = [group for group in by_key.values() if len(group) > 1]
    return max(groups, key=lambda group: len(group[0]), default=[])


def _escaped(names: Sequence[str]) -> str:
    return " and ".join(map(ascii, names))
