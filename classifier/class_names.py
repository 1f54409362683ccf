"""Names of classes from a file, in the order of the outputs."""

import json
import re
from collections.abc import Mapping
from pathlib import Path

from pictures.text import printable

_MOST_BYTES = 2**26


def read(file: Path) -> tuple[str, ...]:
    """Read the names of the classes.

    A text file has one on each line. JSON has a list, an object from number to name (as
    imagenet_class_index.json, with a list whose last item is the name), an object from name to
    number (class_to_idx), or such an object as `id2label` (Hugging Face's config.json).

    Raises:
        ValueError: the file is none of these, a name is missing, or given twice.
    """
    if not file.is_file():
        raise ValueError(f"no file of classes at {file}")
    if file.stat().st_size > _MOST_BYTES:
        raise ValueError(f"{file} has more than {_MOST_BYTES:,} bytes")
    try:
        text = file.read_text(encoding="utf-8-sig")
        names = _from_json(json.loads(text)) if text.lstrip()[:1] in ("[", "{") else None
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{file} does not have the names of classes: {error}") from error
    names = text.rstrip().splitlines() if names is None else names
    names = [name.strip() for name in names]
    for number, name in enumerate(names):
        if not name or printable(name) != name:
            raise ValueError(f"{file}: the name of class {number} is {printable(name)!r}")
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


def _from_json(contents: object) -> list[str]:
    if isinstance(contents, Mapping) and isinstance(contents.get("id2label"), Mapping):
        contents = contents["id2label"]
    if isinstance(contents, list):
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
        raise ValueError(f"its numbers are not 0 to {len(contents) - 1}, each once")
    return [numbered[number] for number in range(len(contents))]


def _name(item: object) -> str:
    if isinstance(item, list) and item:
        item = item[-1]
    if not isinstance(item, str):
        raise ValueError(f"{item!r} is not a name"[:200])
    return item
