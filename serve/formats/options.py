"""What a client may wish for beside the format: how many classes, how sure, and why.

Wishes travel in the query string, in SageMaker's custom attributes (its InvokeEndpoint has no query
string), in a JSON body's `parameters` or in a form's fields; all say `name=value`.
"""

import re
from collections.abc import Mapping
from typing import Literal
from urllib.parse import parse_qsl

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from serve.errors import RequestError


class Wishes(BaseModel):
    """The wishes of one request.

    Args:
        top_k: name at most this many classes, the likeliest first.
        threshold: name only classes of at least this probability.
        explain: add a heat map of what in the picture spoke for the likeliest class.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    top_k: int | None = Field(None, ge=1)
    threshold: float = Field(0.0, ge=0, le=1)
    explain: Literal["gradcam"] | None = None

    @property
    def ranked(self) -> bool:
        """Whether classes are to be named by rank, which only a labelled format can do."""
        return self.top_k is not None or self.threshold > 0


_HINT = "there are top_k=5, threshold=0.1 and explain=gradcam"


def read(
    query: str | None = None,
    attributes: str | None = None,
    parameters: Mapping[str, object] | None = None,
) -> Wishes:
    """Return what is wished for; where two places differ, the one nearer to the picture counts.

    Args:
        query: of the URL.
        attributes: X-Amzn-SageMaker-Custom-Attributes; as they may be anything, names that are no
            wish are passed over there.
        parameters: from the body.

    Raises:
        RequestError: 400, an unknown name or a value that cannot be.
    """
    pairs: dict[str, object] = {}
    for piece in re.split(r"[;,&\s]+", attributes or ""):
        name, equals, value = piece.partition("=")
        if equals and name in Wishes.model_fields:
            pairs[name] = value
    pairs |= dict(parse_qsl(query or "", keep_blank_values=True))
    pairs |= parameters or {}
    try:
        return Wishes.model_validate(pairs)
    except ValidationError as error:
        problem = error.errors()[0]
        raise RequestError(
            400, f"parameter {str(problem['loc'][0])[:50]!r}: {problem['msg']}", _HINT
        ) from None
