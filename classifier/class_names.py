"""Names of classes from a file, in the order of the outputs."""

import codecs
import json
import re
from collections.abc import Mapping
from pathlib import Path

from pictures.layouts.names import class_name
from pictures.text import printable

_MOST_BYTES = 2**26
# A line of a table, and of words of which one is a number.
_FIRST, _LAST = (
    r"\s*(?P<number>\d{1,6})%s(?P<name>.*\S)\s*",
    r"\s*(?P<name>.*\S)%s(?P<number>\d{1,6})\s*",
)
_TABLES = _FIRST % r"\s*[,;:\t]\s*", _LAST % r"\s*[,;:\t]\s*"
_WORDS = _FIRST % r"\s+", _LAST % r"\s+"


def read(file: Path) -> tuple[str, ...]:
    """Read the names of the classes.

    A text file has one on each line. If each line has a number from 0 before or after a comma, a
    semicolon, a colon or a tab, these numbers are the order. JSON has a list, an object from number
    to name (as imagenet_class_index.json, with a list whose last item is the name), an object from
    name to number (class_to_idx), or such an object as `id2label` (Hugging Face's config.json).
    Names are composed as those of class folders are; the text is UTF-8, or UTF-16 with its mark.

    Raises:
        ValueError: the file is none of these, a name is missing, or given twice.
    """
    if not file.is_file():
        raise ValueError(f"no file of classes at {file}")
    if file.stat().st_size > _MOST_BYTES:
        raise ValueError(f"{file} has more than {_MOST_BYTES:,} bytes")
    try:
        text = _text(file.read_bytes())
        names = None
        if text.lstrip()[:1] in ("[", "{"):
            names = _from_json(json.loads(text, object_pairs_hook=_once))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{file} does not have the names of classes: {error}") from error
    names = _from_lines(file, text.rstrip().splitlines()) if names is None else names
    names = [class_name(name) for name in names]
    for number, name in enumerate(names):
        if not name or printable(name) != name:
            raise ValueError(
                f"{file}: the name of class {number} is {printable(name)!r}: a name is one line of "
                "text, and each class has one"
            )
    first: dict[str, int] = {}
    for number, name in enumerate(names):
        if name in first:
            raise ValueError(
                f"{file}: {name!r} is the name of classes {first[name]} and {number}: a name must "
                "be of one class only, as in 'crane (bird)' and 'crane (machine)'"
            )
        first[name] = number
    if len(names) < 2:
        raise ValueError(f"{file} has {len(names)} class: a classifier needs at least two")
    return tuple(names)


def of_value(value: object) -> tuple[str, ...] | None:
    """Return the names in a list or a dictionary, as `read` does of JSON; None if it has none."""
    try:
        listed = list(value) if isinstance(value, tuple) else value
        return tuple(class_name(name) for name in _from_json(listed))
    except ValueError:
        return None


def _from_lines(file: Path, lines: list[str]) -> list[str]:
    """Return the names of a text file; if it is a table with numbers, in their order.

    Raises:
        ValueError: the numbers do not say which output has which name.
    """
    tables = [table for pattern in _TABLES if (table := _numbered(pattern, lines))]
    tables = tables or [table for pattern in _TABLES if (table := _numbered(pattern, lines[1:]))]
    if tables:
        if any(table != tables[0] for table in tables):
            raise ValueError(f"{file}: both columns are numbers: write the names alone, in order")
        return [tables[0][number].strip(' "') for number in range(len(tables[0]))]
    for pattern in (*_TABLES, *_WORDS):
        table = _numbered(pattern, lines, 1) or _numbered(pattern, lines)
        if len({*table.values()}) == len(table) and [*table] != sorted(table):
            raise ValueError(
                f"{file} has numbers in its lines, and in another order than the lines: sort them "
                "by the number, or write the names alone as a JSON list"
            )
    return lines


def _numbered(pattern: str, lines: list[str], first: int = 0) -> dict[int, str]:
    """Return names by number, in the order of the lines; empty unless they count from `first`."""
    found = [re.fullmatch(pattern, line) for line in lines]
    table = {int(one["number"]): one["name"] for one in found if one}
    return table if sorted(table) == [*range(first, first + len(lines))] else {}


def _text(data: bytes) -> str:
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):  # as PowerShell writes
        return data.decode("utf-16")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"it is not UTF-8 (at byte {error.start}): save it as UTF-8") from error


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """Return an object of JSON in which no key is given twice."""
    found: dict[str, object] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"it has {printable(key)[:100]!r} twice")
        found[key] = value
    return found


def _from_json(contents: object) -> list[str]:
    if isinstance(contents, Mapping) and isinstance(contents.get("id2label"), Mapping):
        contents = contents["id2label"]
    if isinstance(contents, list):
        _check_numbers(contents)
        return [_name(item) for item in contents]
    if not isinstance(contents, Mapping) or not contents:
        raise ValueError("it is neither a list nor an object of names")
    if all(isinstance(value, int) for value in contents.values()):
        numbered = {int(number): str(name) for name, number in contents.items()}
    elif all(re.fullmatch(r"\d{1,6}", str(key)) for key in contents):
        numbered = {int(key): _name(value) for key, value in contents.items()}
    else:
        raise ValueError("it has an object, but neither from numbers to names nor the reverse")
    if len(numbered) != len(contents) or sorted(numbered) != list(range(len(contents))):
        raise ValueError(
            f"its numbers are not 0 to {len(contents) - 1}, each once: outputs are counted from 0"
        )
    return [numbered[number] for number in range(len(contents))]


def _check_numbers(items: list[object]) -> None:
    """Raise ValueError if the items of a list begin with numbers in another order."""
    numbers = [item[0] for item in items if isinstance(item, list) and len(item) > 1]
    if len(numbers) != len(items) or any(type(number) is not int for number in numbers):
        return
    place = next((n for n in range(1, len(numbers)) if numbers[n] <= numbers[n - 1]), None)
    if place is not None:
        raise ValueError(
            f"its item {place} has the number {numbers[place]}, after {numbers[place - 1]}: sort "
            "the items by the number, and give the names alone"
        )


def _name(item: object) -> str:
    if isinstance(item, list) and item:
        item = item[-1]
    if not isinstance(item, str):
        raise ValueError(f"{item!r} is not a name"[:200])
    return item
