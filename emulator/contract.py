"""SageMaker's API as botocore describes it: checks requests, and shapes answers.

Nothing about the API's fields, lengths, patterns and choices is written down here by hand.
"""

import json
import re
from collections.abc import Iterator
from functools import cache
from typing import Any

import botocore.session  # type: ignore[import-untyped, unused-ignore]

from emulator.errors import ApiError, Invalid

Record = dict[str, Any]
_WIRE = {
    "string": str,
    "integer": int,
    "long": int,
    "float": (int, float),
    "double": (int, float),
    "boolean": bool,
    "timestamp": (int, float, str),
    "structure": dict,
    "map": dict,
    "list": list,
}
# The model's patterns are Java's; these classes of characters are not in Python's re.
_JAVA = {
    r"\p{L}": r"\w",
    r"\p{N}": r"\w",
    r"\p{M}": r"\w",
    r"\p{Z}": r"\s",
    r"\p{S}": r"$+<=>^`|~",
    r"\p{P}": r"!-/:-@\[-`{-~",
    r"\p{Alnum}": "a-zA-Z0-9",
}


@cache
def _service() -> Any:
    return botocore.session.get_session().get_service_model("sagemaker")


def operations() -> frozenset[str]:
    """Return the names of all operations that the service has."""
    return frozenset(_service().operation_names)


def check(operation: str, request: object) -> Record:
    """Return the request when it satisfies the operation's model.

    Raises:
        Invalid: every constraint that it breaks, in the service's words.
        ApiError: SerializationException, for a value of another type than the model's.
    """
    if not isinstance(request, dict):
        raise ApiError("expected a JSON object", code="SerializationException", status=400)
    shape = _service().operation_model(operation).input_shape
    problems = list(_problems(shape, request, "")) if shape else []
    if problems:
        count = f"{len(problems)} validation error{'s' if len(problems) > 1 else ''} detected"
        raise Invalid(f"{count}: {'; '.join(problems)}")
    return request


def answer(operation: str, record: Record) -> Record:
    """Return what of a record the operation's answer has; times are epoch seconds."""
    shape = _service().operation_model(operation).output_shape
    return _only(shape, record) if shape else {}


def members(shape_name: str, record: Record) -> Record:
    """Return what of a record a named shape has, such as a summary in a list."""
    shaped: Record = _only(_service().shape_for(shape_name), record)
    return shaped


def _only(shape: Any, value: Any) -> Any:
    if shape.type_name == "structure":
        return {
            name: _only(member, value[name])
            for name, member in shape.members.items()
            if value.get(name) is not None
        }
    if shape.type_name == "list":
        return [_only(shape.member, item) for item in value]
    return value


def _problems(shape: Any, value: Any, path: str) -> Iterator[str]:
    kind = shape.type_name
    wanted: Any = _WIRE.get(kind, object)
    if not isinstance(value, wanted) or (isinstance(value, bool) and kind != "boolean"):
        raise ApiError(
            f"{path or 'request'}: {type(value).__name__} can not be converted to {kind}",
            code="SerializationException",
            status=400,
        )
    yield from _constraints(shape, value, path)
    if kind == "structure":
        for name in shape.required_members:
            if value.get(name) is None:
                yield (
                    f"Value null at '{_at(path, name)}' failed to satisfy constraint: "
                    "Member must not be null"
                )
        for name, member in shape.members.items():
            if value.get(name) is not None:
                yield from _problems(member, value[name], _at(path, name))
    elif kind == "list":
        for number, item in enumerate(value, 1):
            yield from _problems(shape.member, item, f"{path}.{number}.member")
    elif kind == "map":
        for key, item in value.items():
            yield from _problems(shape.key, key, f"{path}.{key}.key")
            yield from _problems(shape.value, item, f"{path}.{key}.value")


def _constraints(shape: Any, value: Any, path: str) -> Iterator[str]:
    said = shape.metadata
    broken = []
    number = isinstance(value, int | float)
    size = value if number else len(value)
    noun = "value" if number else "length"
    if "min" in said and size < said["min"]:
        broken.append(f"Member must have {noun} greater than or equal to {said['min']}")
    if "max" in said and size > said["max"]:
        broken.append(f"Member must have {noun} less than or equal to {said['max']}")
    if "enum" in said and value not in said["enum"]:
        broken.append(f"Member must satisfy enum value set: [{', '.join(said['enum'])}]")
    pattern = _pattern(said["pattern"]) if "pattern" in said else None
    if pattern and not pattern.fullmatch(value):
        broken.append(f"Member must satisfy regular expression pattern: {said['pattern']}")
    text = value if isinstance(value, str) else json.dumps(value)
    for constraint in broken:
        yield f"Value '{text}' at '{path}' failed to satisfy constraint: {constraint}"


@cache
def _pattern(java: str) -> re.Pattern[str] | None:
    """Return the model's pattern as Python's, or None for the one that Python cannot write."""
    for their, our in _JAVA.items():
        java = java.replace(their, our)
    try:
        return re.compile(java)
    except re.error:  # ranges of surrogates: any character will do
        return None


def _at(path: str, name: str) -> str:
    """Return a member's path as the service writes it: lower camel case, dots between."""
    name = name[0].lower() + name[1:]
    return f"{path}.{name}" if path else name
