"""Checks every answer of the emulator's SageMaker against the output shape of botocore's model.

botocore itself drops members that it does not know and does not miss those that are required.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

from emulator import contract

checked: dict[str, int] = {}  # operation -> answers that were checked


def watch(client: Any) -> None:
    """Check all answers that a boto3 client for SageMaker gets."""
    client.meta.events.register("before-parse.sagemaker", _check)


def problems(shape: Any, value: Any, path: str) -> Iterator[str]:
    """Yield what a JSON value has that its shape does not allow."""
    kind = shape.type_name
    types: Any = contract._WIRE.get(kind, object)
    if not isinstance(value, types) or (isinstance(value, bool) and kind != "boolean"):
        yield f"{path}: {value!r} is not a {kind}"
        return
    if kind == "structure":
        for name in shape.required_members:
            if name not in value:
                yield f"{path}.{name} is missing"
        for name, item in value.items():
            if name not in shape.members:
                yield f"{path}.{name} is not a member"
            else:
                yield from problems(shape.members[name], item, f"{path}.{name}")
    elif kind == "list":
        for item in value:
            yield from problems(shape.member, item, f"{path}[]")
    elif kind == "map":
        for key, item in value.items():
            yield from problems(shape.key, key, f"{path}.key")
            yield from problems(shape.value, item, f"{path}.{key}")
    else:
        yield from _constraints(shape, value, path)


def _constraints(shape: Any, value: Any, path: str) -> Iterator[str]:
    limits = shape.metadata
    size = len(value) if isinstance(value, str) else value
    if isinstance(value, bool) or shape.type_name == "timestamp":
        return
    if size < limits.get("min", size) or size > limits.get("max", size):
        yield f"{path}: {value!r} is not within {limits}"
    if "enum" in limits and value not in limits["enum"]:
        yield f"{path}: {value!r} is not one of {limits['enum']}"
    pattern = contract._pattern(limits["pattern"]) if "pattern" in limits else None
    if pattern and not re.fullmatch(pattern, value):
        yield f"{path}: {value!r} does not match {limits['pattern']}"


def _check(operation_model: Any, response_dict: dict[str, Any], **_: Any) -> None:
    if response_dict["status_code"] >= 300:
        return
    shape, body = operation_model.output_shape, json.loads(response_dict["body"] or b"{}")
    found = list(problems(shape, body, operation_model.name)) if shape else []
    assert not found, found
    checked[operation_model.name] = checked.get(operation_model.name, 0) + 1
