"""Checks requests against AWS's API model in botocore, without a network.

botocore checks names, types, lengths and ranges, but not enumerations and patterns; those are
checked here.
"""

import re
from functools import cache
from typing import Any

import botocore.session  # type: ignore[import-untyped]
from botocore.model import OperationModel, ServiceModel, Shape  # type: ignore[import-untyped]
from botocore.validate import ParamValidator  # type: ignore[import-untyped]

from scripts.requests.request import Request


@cache
def _service(name: str) -> ServiceModel:
    return botocore.session.get_session().get_service_model(name)


def operation(request: Request) -> OperationModel:
    return _service(request.service).operation_model(request.operation)


def problems(request: Request) -> list[str]:
    """Everything in the request that AWS's model does not allow."""
    shape = operation(request).input_shape
    report = ParamValidator().validate(request.parameters, shape)
    return [report.generate_report()] * report.has_errors() + _refused(
        request.parameters, shape, request.operation
    )


def _refused(value: Any, shape: Shape, where: str) -> list[str]:
    if shape.type_name == "structure":
        inner = [
            (value[name], shape.members[name], f".{name}")
            for name in value
            if name in shape.members
        ]
    elif shape.type_name == "list":
        inner = [(one, shape.member, "[]") for one in value]
    elif shape.type_name == "map":
        inner = [(key, shape.key, "{}") for key in value]
        inner += [(one, shape.value, f"{{{key}}}") for key, one in value.items()]
    else:
        pattern = shape.metadata.get("pattern", "")
        # Some patterns are valid only in Java.
        if (
            pattern
            and "\\p{" not in pattern
            and "\\u" not in pattern
            and not re.fullmatch(pattern, str(value))
        ):
            return [f"{where}: {value!r} does not match {pattern}"]
        if getattr(shape, "enum", None) and value not in shape.enum:
            return [f"{where}: {value!r} is not one of {shape.enum}"]
        return []
    return [problem for one, of, name in inner for problem in _refused(one, of, where + name)]
