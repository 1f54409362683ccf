"""SageMaker's API as botocore's model describes it: checks requests and shapes answers.

Fields, lengths, patterns and enums come from the model; none is written here by hand.
"""

import json
import re
from collections.abc import Iterator
from functools import cache
from typing import Any

import botocore.session  # type: ignore[import-untyped, unused-ignore]
from werkzeug.datastructures import Headers

from emulator.errors import ApiError, Invalid

Record = dict[str, Any]
_WIRE = {
    "string": str,
    "integer": int,
    "long": int,
    "float": (int, float),
    "double": (int, float),
    "boolean": bool,
    "timestamp": (int, float),
    "structure": dict,
    "map": dict,
    "list": list,
}
# The model's patterns are for Java; Python's re does not have these character classes.
_JAVA = {
    r"\p{L}": r"\w",
    r"\p{N}": r"\w",
    r"\p{M}": r"\w",
    r"\p{Z}": r"\s",
    r"\p{S}": r"$+<=>^`|~",
    r"\p{P}": r"!-/:-@\[-`{-~",
    r"\p{Alnum}": "a-zA-Z0-9",
    r"\p{Print}": r"\x20-\x7e",
    r"\p{ASCII}": r"[\x00-\x7f]",
    r"\z": r"\Z",
}


@cache
def _service(name: str = "sagemaker") -> Any:
    return botocore.session.get_session().get_service_model(name)


def operations() -> frozenset[str]:
    """Return the names of all of SageMaker's operations."""
    return frozenset(_service().operation_names)


def check(operation: str, request: object) -> Record:
    """Return the request, without members that are null, if it satisfies the operation's model.

    Raises:
        Invalid: all broken constraints, in SageMaker's words.
        ApiError: SerializationException, if a value has the wrong type.
    """
    if not isinstance(request, dict):
        raise ApiError("expected a JSON object", code="SerializationException", status=400)
    shape = _service().operation_model(operation).input_shape
    if problems := list(_problems(shape, request, "")) if shape else []:
        raise Invalid(sentence(problems))
    given: Record = _given(shape, request) if shape else request
    return given


def sentence(problems: list[str]) -> str:
    """Return SageMaker's message for broken constraints."""
    count = f"{len(problems)} validation error{'s' if len(problems) > 1 else ''} detected"
    return f"{count}: {'; '.join(problems)}"


def values(operation: str, request: Record) -> Iterator[tuple[str, Any]]:
    """Yield each single value of a request and each map, with its path; lists have no step.

    Members that the model does not have are yielded, too.
    """
    yield from _values(_service().operation_model(operation).input_shape, request, "")


def headers(operation: str) -> dict[str, str]:
    """Return the members of an operation of sagemaker-runtime that are headers, with the header."""
    shape = _service("sagemaker-runtime").operation_model(operation).input_shape
    return {
        name: member.serialization["name"]
        for name, member in shape.members.items()
        if member.serialization.get("location") == "header"
    }


def header_problems(operation: str, given: Headers) -> list[str]:
    """Return the broken constraints of an invocation's headers, in SageMaker's words."""
    shape = _service("sagemaker-runtime").operation_model(operation).input_shape
    return [
        problem
        for name, header in headers(operation).items()
        if header in given and shape.members[name].type_name == "string"
        for problem in _constraints(shape.members[name], given[header], _member_path("", name))
    ]


def answer(operation: str, record: Record) -> Record:
    """Return the members of a record that the operation's answer has; times in epoch seconds."""
    shape = _service().operation_model(operation).output_shape
    return _select(shape, record) if shape else {}


def members(shape_name: str, record: Record) -> Record:
    """Return the members of a record that a shape has, such as a summary in a list."""
    shaped: Record = _select(_service().shape_for(shape_name), record)
    return shaped


def _given(shape: Any, value: Any) -> Any:
    """Return a value without the members that are null: in AWS's JSON, they are not given."""
    if shape and shape.type_name == "structure":
        return {
            name: _given(shape.members.get(name), item)
            for name, item in value.items()
            if item is not None
        }
    if shape and shape.type_name == "list":
        return [_given(shape.member, item) for item in value]
    if shape and shape.type_name == "map":
        return {name: _given(shape.value, item) for name, item in value.items()}
    return value


def _values(shape: Any, value: Any, path: str) -> Iterator[tuple[str, Any]]:
    if value is None:
        return
    if shape and shape.type_name == "structure" and value:
        for name, item in value.items():
            yield from _values(shape.members.get(name), item, f"{path}.{name}" if path else name)
    elif shape and shape.type_name == "list" and value:
        for item in value:
            yield from _values(shape.member, item, path)
    elif path:
        yield path, value


def _select(shape: Any, value: Any) -> Any:
    if shape.type_name == "structure":
        return {
            name: _select(member, value[name])
            for name, member in shape.members.items()
            if value.get(name) is not None
        }
    if shape.type_name == "list":
        return [_select(shape.member, item) for item in value]
    return value


def _problems(shape: Any, value: Any, path: str) -> Iterator[str]:
    kind = shape.type_name
    expected: Any = _WIRE.get(kind, object)
    if not isinstance(value, expected) or (isinstance(value, bool) and kind != "boolean"):
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
                    f"Value null at '{_member_path(path, name)}' failed to satisfy constraint: "
                    "Member must not be null"
                )
        for name, member in shape.members.items():
            if value.get(name) is not None:
                yield from _problems(member, value[name], _member_path(path, name))
    elif kind == "list":
        for number, item in enumerate(value, 1):
            yield from _problems(shape.member, item, f"{path}.{number}.member")
    elif kind == "map":
        for key, item in value.items():
            yield from _problems(shape.key, key, f"{path}.{key}.key")
            yield from _problems(shape.value, item, f"{path}.{key}.value")


def _constraints(shape: Any, value: Any, path: str) -> Iterator[str]:
    limits = shape.metadata
    broken = []
    is_number = isinstance(value, int | float)
    size = value if is_number else len(value)
    noun = "value" if is_number else "length"
    if "min" in limits and size < limits["min"]:
        broken.append(f"Member must have {noun} greater than or equal to {limits['min']}")
    if "max" in limits and size > limits["max"]:
        broken.append(f"Member must have {noun} less than or equal to {limits['max']}")
    if "enum" in limits and value not in limits["enum"]:
        broken.append(f"Member must satisfy enum value set: [{', '.join(limits['enum'])}]")
    pattern = _pattern(limits["pattern"]) if "pattern" in limits else None
    if pattern and not pattern.fullmatch(value):
        broken.append(f"Member must satisfy regular expression pattern: {limits['pattern']}")
    text = value if isinstance(value, str) else json.dumps(value)
    for constraint in broken:
        yield f"Value '{text}' at '{path}' failed to satisfy constraint: {constraint}"


@cache
def _pattern(java: str) -> re.Pattern[str] | None:
    """Return the model's pattern for Python, or None if Python cannot express it."""
    for theirs, ours in _JAVA.items():
        java = java.replace(theirs, ours)
    try:
        return re.compile(java)
    except re.error:  # it has ranges of surrogates: accept any text
        return None


def _member_path(path: str, name: str) -> str:
    """Return a member's path as SageMaker writes it: lower camel case, joined by dots."""
    name = name[0].lower() + name[1:]
    return f"{path}.{name}" if path else name
