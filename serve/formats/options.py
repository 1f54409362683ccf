"""What a client can ask for in addition to the format: how many classes, how sure, and why.

Options come in the query string, in SageMaker's custom attributes (its InvokeEndpoint has no query
string), in a JSON body's `parameters` or in the fields of a form. All are written `name=value`.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Literal
from urllib.parse import parse_qsl

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from serve.errors import RequestError
from serve.front.headers import UNREADABLE


class Options(BaseModel):
    """The options of one request.

    Args:
        top_k: return at most this many classes, the most likely first.
        threshold: return only classes with at least this probability.
        explain: add a heat map of the regions that led to the most likely class.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    top_k: int | None = Field(None, ge=1)
    threshold: float = Field(0.0, ge=0, le=1)
    explain: Literal["gradcam"] | None = None

    @field_validator("top_k", "threshold", mode="before")
    @classmethod
    def _number(cls, given: object) -> object:
        if isinstance(given, bool):
            raise ValueError("Input should be a number")
        return given

    @property
    def ranked(self) -> bool:
        """Whether classes are sorted by probability, which only a format with labels can do."""
        return self.top_k is not None or self.threshold > 0


# Vertex AI's names for the same parameters.
_ALIASES = {"maxPredictions": "top_k", "confidenceThreshold": "threshold"}
_HINT = "the parameters are top_k=5, threshold=0.1 and explain=gradcam"


def once(pairs: Iterable[tuple[str, object]]) -> dict[str, object]:
    """Return names and values as a dict; nobody knows which of two values is meant.

    Raises:
        RequestError: 400, a name with two values.
    """
    found: dict[str, object] = {}
    for name, value in pairs:
        if name in found:
            raise RequestError(400, f"{name[:50]!r} is given twice", "give it once")
        found[name] = value
    return found


def read_options(
    query: str | None = None,
    attributes: str | None = None,
    parameters: Mapping[str, object] | None = None,
) -> Options:
    """Return the options of a request. The body overrides the query, the query the attributes.

    Args:
        query: of the URL.
        attributes: X-Amzn-SageMaker-Custom-Attributes. They can hold anything, so unknown names are
            ignored there.
        parameters: from the body; they can have Vertex AI's names.

    Raises:
        RequestError: 400, an unknown name, an invalid value, or a parameter given twice.
    """
    for name, given in (("query", query), ("X-Amzn-SageMaker-Custom-Attributes", attributes)):
        if given == UNREADABLE:
            raise RequestError(
                400,
                f"the {name} cannot be read: it is too long, or has characters that are not ASCII",
                "a query has at most 500 characters, attributes 1,024; " + _HINT,
            )
    pieces = re.split(r"[;,&\s]+", re.sub(r"\s*=\s*", "=", attributes or ""))
    named = (piece.partition("=") for piece in pieces if "=" in piece)
    pairs = once((name, value) for name, _, value in named if name in Options.model_fields)
    pairs |= once(parse_qsl(query or "", keep_blank_values=True))
    pairs |= once((_ALIASES.get(name, name), value) for name, value in (parameters or {}).items())
    try:
        return Options.model_validate(pairs)
    except ValidationError as error:
        problem = error.errors()[0]
        raise RequestError(
            400, f"parameter {str(problem['loc'][0])[:50]!r}: {problem['msg']}", _HINT
        ) from None
