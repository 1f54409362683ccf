"""Markdown of the reference: tables, and what a JSON schema says in words."""

import re
from collections.abc import Iterable, Mapping
from typing import Any


def default(key: str, schema: Mapping[str, Any], model: Mapping[str, Any]) -> str:
    """The default of a key; `required` if it has none."""
    if key in model.get("required", ()):
        return "required"
    default = schema.get("default")
    if default in (None, "", {}, []):
        return ""
    return f"`{str(default).lower() if isinstance(default, bool) else default}`"


def values(schema: Mapping[str, Any]) -> str:
    """What a key takes, in words."""
    if "anyOf" in schema or "oneOf" in schema:
        each = dict.fromkeys(map(values, schema.get("anyOf", schema.get("oneOf"))))
        if "number" in each:
            each.pop("whole number", None)
        return " or ".join(one for one in each if one != "nothing")
    if "$ref" in schema or schema.get("type") == "object":
        return "table"
    if named := schema.get("enum", [schema["const"]] if "const" in schema else []):
        return ", ".join(f"`{value}`" for value in named)
    kind = str(schema.get("type", "text"))
    if kind == "array":
        return f"list of {values(schema['items'])}"
    if kind == "string":
        pattern = str(schema.get("pattern", ""))
        return (
            "S3 address" if pattern.startswith("^s3:") else "ARN" if "arn:" in pattern else "text"
        )
    names = {"integer": "whole number", "boolean": "`true`, `false`", "null": "nothing"}
    return names.get(kind, kind) + _bounds(schema)


def _bounds(schema: Mapping[str, Any]) -> str:
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is not None and high is not None:
        return f", {low} to {high}"
    if (above := schema.get("exclusiveMinimum")) is not None:
        return f" above {above}"
    return f", {low} or more" if low is not None else f", up to {high}" if high is not None else ""


def escaped(text: str) -> str:
    """Text for a cell: a bar would end it, and `<` would begin a tag."""
    return re.sub(r"(?<!\\)\|", r"\|", text).replace("<", "&lt;")


def table(head: str, rows: Iterable[Iterable[Any]]) -> str:
    """A table; `head` is its first line."""
    lines = [head, "|" + "---|" * (head.count("|") - 1)]
    lines += ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows]
    return "\n".join(lines)


def page(parts: Iterable[str]) -> str:
    """A page of its parts; empty ones are left out."""
    return "\n\n".join(part for part in parts if part) + "\n"
