"""Answers of the user's code: what its functions return, as a body and its content type."""

import json
from typing import Any

import numpy as np
from sagemaker_inference import content_types

from classifier.transform import Floats
from serve.errors import RequestError
from serve.formats import accepting, arrays
from serve.user_statuses import is_content_type

_SUM_TOLERANCE = 2e-2  # of probabilities in half precision


def encoded(output: Any, accept: str) -> tuple[bytes, str]:
    """Return body and content type of what output_fn or transform_fn returned.

    As in the toolkit, what follows the first two values of a tuple does not count.

    Raises:
        TypeError: a tuple without a content type.
    """
    body, declared = output, None
    if isinstance(output, tuple):
        body, declared, *_ = *output, "", ""
        if not isinstance(declared, str | None) or len(output) < 2:
            raise TypeError(
                f"the code returned the tuple {output!r:.100}, whose second value is no content "
                "type: return the body, or (body, content type)"
            )
    content_type = declared or _one_type(accept)
    if isinstance(body, str):
        return body.encode(), content_type
    if isinstance(body, bytes | bytearray | memoryview):
        return bytes(body), content_type
    return json.dumps(body, default=_plain, allow_nan=False).encode(), content_type


def _one_type(accept: str) -> str:
    """Return the first type that an Accept header names: a list of types is no Content-Type."""
    for wanted in accept.split(","):
        kind = wanted.partition(";q=")[0].strip()
        if "/" in kind and "*" not in kind and is_content_type(kind):
            return kind
    return str(content_types.JSON)


def are_probabilities(outputs: Floats) -> bool:
    """Return whether outputs [N, C] are a softmax's: not negative, and each row sums to one."""
    sums = outputs.sum(axis=1)
    return bool((outputs >= 0).all() and np.allclose(sums, 1, atol=_SUM_TOLERANCE))


def by_accept(prediction: Any, accept: str) -> tuple[bytes, str]:
    """Write a prediction of the user's as the toolkit does: JSON, CSV or npy.

    Raises:
        RequestError: 406, another format.
    """
    chosen = accepting.choose(accept)
    kind = chosen.content_type
    if chosen.accept == content_types.JSON:
        return json.dumps(prediction, default=_plain, allow_nan=False).encode(), kind
    if chosen.accept in (content_types.NPY, content_types.CSV):
        try:
            array = np.asarray(_plain(prediction))
        except ValueError:  # rows of different lengths
            array = np.asarray(None)
        if array.dtype.kind in "biuf" and array.ndim <= 2:
            write = arrays.to_npy if chosen.accept == content_types.NPY else arrays.to_csv
            return write(array), kind
    raise RequestError(
        406,
        f"the prediction of this endpoint's code cannot be written as {accept[:100]}",
        "accept application/json",
    )


def _plain(value: Any) -> Any:
    """Return tensors and arrays as lists."""
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, list | tuple | dict | str | int | float | None):
        return value
    raise TypeError(f"{type(value).__name__} is not JSON: add an output_fn")
