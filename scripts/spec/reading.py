"""Reads a TOML file into an `Experiment`: applies `--set`, and reports all problems at once."""

import difflib
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from scripts.problem import Problem
from scripts.spec.experiment import Experiment
from scripts.spec.section import Conflicts, Section

# What to write where the pattern alone would not help the reader.
_EXPECTED = {
    "region": "a region, such as us-east-1",
    "role": "a role's ARN, such as arn:aws:iam::111122223333:role/kennel",
    "name": "letters, digits and single hyphens, at most 40",
    "train": "an ECR URI with a tag or digest, or name@alias",
    "serve": "an ECR URI with a tag or digest, or name@alias",
    "instance_type": "an instance type, such as ml.g5.xlarge",
}


_LARGEST = 2**20  # bytes of an experiment file
_MOST_LINES, _LONGEST_LINE = 50, 1000  # of a message


class SpecError(Problem):
    """An invalid experiment: every problem on its own line, each with its key."""


def load(path: Path, changes: Sequence[str] = ()) -> Experiment:
    """Read an experiment.

    Args:
        path: the TOML file.
        changes: `dotted.key=value` pairs that override the file; a value is TOML or a plain string.

    Raises:
        SpecError: with every problem of the file.
    """
    try:
        with path.open("rb") as file:
            text = file.read(_LARGEST + 1)
        if len(text) > _LARGEST:
            raise SpecError(f"{path} has more than {_LARGEST:,} bytes: give an experiment file")
        # Editors on Windows begin files with a byte order mark.
        content = tomllib.loads(text.decode("utf-8-sig"))
    except OSError as error:
        raise SpecError(f"{path}: {error.strerror}: give an experiment file") from None
    except UnicodeDecodeError:
        raise SpecError(
            f"{path} is not valid TOML: it is not UTF-8 text: save it with the encoding UTF-8"
        ) from None
    except (ValueError, RecursionError) as error:  # also huge numbers, and tables in tables
        raise SpecError(f"{path} is not valid TOML: {_short(str(error))}") from None
    for change in changes:
        _apply(content, change)
    return check(content, str(path))


def check(content: Mapping[str, Any], where: str) -> Experiment:
    """Read an experiment from a mapping; messages call it `where`.

    Raises:
        SpecError: with every problem.
    """
    try:
        return Experiment.model_validate(content)
    except ValidationError as error:
        lines = [*dict.fromkeys(line for item in error.errors() for line in _lines(item))]
        shown = [_short(line) for line in lines[:_MOST_LINES]]
        if len(lines) > _MOST_LINES:
            shown.append(f"and {len(lines) - _MOST_LINES:,} more problems")
        raise SpecError(f"{where} is not valid:\n  " + "\n  ".join(shown)) from None


def _short(line: str) -> str:
    return line if len(line) <= _LONGEST_LINE else f"{line[:_LONGEST_LINE]}…"


def _apply(content: dict[str, Any], change: str) -> None:
    key, equals, text = change.partition("=")
    *tables, last = key.strip().split(".")
    if not equals or not last:
        raise SpecError(
            f"--set {_short(change)}: write it as key=value, such as training.spot=true"
        )
    try:
        found = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        found = {}
    except (ValueError, RecursionError) as error:
        raise SpecError(f"--set {_short(change)}: {_short(str(error))}") from None
    # Words and s3:// URIs need no quotes. A second line is no second key.
    value = found["value"] if found.keys() == {"value"} else text
    for table in tables:
        content = content.setdefault(table, {})
        if not isinstance(content, dict):
            raise SpecError(f"--set {change}: {table} is not a table")
    content[last] = value


def _lines(item: ErrorDetails) -> Iterator[str]:
    """Turn one of pydantic's errors into lines of `key: what is wrong, and how to fix it`."""
    loc = tuple(str(part) for part in item["loc"])
    sections = _sections_at(loc[:-1])
    key = ".".join(_without_kind(loc))
    error = item.get("ctx", {}).get("error")
    if isinstance(error, Conflicts):
        for inner, what in error.found:
            yield f"{'.'.join(filter(None, (key, inner)))}: {what}"
    elif item["type"] == "extra_forbidden":
        yield f"{key}: {_unknown(loc[-1], sections)}"
    elif item["type"] == "missing":
        yield f"{key}: missing: add it"
    elif item["type"] == "union_tag_not_found":
        yield f"{key}.kind: missing: add it"
    elif item["type"] == "string_pattern_mismatch" and loc[-1] in _EXPECTED:
        yield f"{key}: {item['input']!r} is not {_EXPECTED[loc[-1]]}"
    else:
        yield f"{key}: {item['msg'][0].lower()}{item['msg'][1:]} (given {item['input']!r})"


def _unknown(key: str, sections: Sequence[type[Section]]) -> str:
    for section in sections:
        if key in section.refused:
            return section.refused[key]
    known = [name for section in sections for name in section.model_fields]
    near = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
    return "no such key: " + (f"did you mean {near[0]}?" if near else f"use {', '.join(known)}")


def _sections_at(loc: Sequence[str]) -> list[type[Section]]:
    """The models that are possible at `loc` of an experiment."""
    here: list[type[Section]] = [Experiment]
    for part in loc:
        fields = [one.model_fields[part] for one in here if part in one.model_fields]
        tagged = [one for one in here if "kind" in one.model_fields]
        if fields:
            here = [one for field in fields for one in _sections_in(field.annotation)]
        elif tagged:
            here = [one for one in tagged if one.model_fields["kind"].default == part]
    return here


def _sections_in(annotation: Any) -> list[type[Section]]:
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return [annotation]
    return [one for inner in get_args(annotation) for one in _sections_in(inner)]


def _without_kind(loc: Sequence[str]) -> Iterator[str]:
    """Turn `endpoint.serverless.memory_mb` into `endpoint.memory_mb`, as it is in the file."""
    for position, part in enumerate(loc):
        kinds = _sections_at(loc[:1])
        if position != 1 or loc[0] != "endpoint" or kinds == _sections_at(loc[:2]):
            yield part
