"""Answers of the user's code: what its functions return, as a body and its content type."""

import json
from typing import Any

import numpy as np
from sagemaker_inference import content_types

from serve.errors import RequestError
from serve.formats import accepting, arrays


def encoded(output: Any, accept: str) -> tuple[bytes, str]:
    """Return body and content type of what output_fn or transform_fn returned."""
    body, content_type = output if isinstance(output, tuple) else (output, accept)
    if isinstance(body, str):
        return body.encode(), str(content_type)
    if isinstance(body, bytes | bytearray | memoryview):
        return bytes(body), str(content_type)
    return json.dumps(body, default=_plain, allow_nan=False).encode(), str(content_type)


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
        array = np.asarray(_plain(prediction))
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
