"""One call to AWS as a value: `--dry-run` prints it, scripts/aws/client.py sends it."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from scripts.requests.secrets import masked


@dataclass(frozen=True)
class Request:
    """A call: boto3's name of the service, the API's name of the operation, the parameters."""

    service: str
    operation: str
    parameters: dict[str, Any]


def as_json(requests: Iterable[Request]) -> str:
    """The calls in order, as an indented JSON list without secrets."""
    listed = [
        {"service": one.service, "operation": one.operation, "parameters": masked(one.parameters)}
        for one in requests
    ]
    return json.dumps(listed, indent=2, ensure_ascii=False)


def given(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Drop unset parameters: None, empty lists and empty mappings. False and 0 are values."""
    return {
        name: value
        for name, value in parameters.items()
        if value is not None and value != {} and value != []
    }


def tags(of: Mapping[str, str]) -> list[dict[str, str]]:
    """Tags in the shape that SageMaker and ECR take."""
    return [{"Key": key, "Value": value} for key, value in of.items()]
