"""Repairs of smdebug 1.0.34, which was built for torch 1.13, numpy 1 and protobuf 3.

It imports nothing of Kennel: `site/sitecustomize.py` loads it by its path into users' own scripts.
"""

import ast
import contextlib
import importlib
import json
from collections.abc import Mapping
from typing import Any

import torch


def repair() -> None:
    """Replace functions that newer Python, numpy and torch broke, and one that was never safe.

    Call it once smdebug can be imported; a second call does nothing.
    """
    parser: Any = importlib.import_module("smdebug.profiler.profiler_config_parser")
    parser.ProfilerConfigParser._parse_metrics_config = (
        _parse_metrics_config  # before the hook calls it
    )
    util: Any = importlib.import_module("smdebug.core.tfevent.util")
    writer: Any = importlib.import_module("smdebug.core.writer")
    if util.make_tensor_proto.__module__ == __name__:
        return
    summary: Any = importlib.import_module("smdebug.core.tfevent.summary")
    hook = importlib.import_module("smdebug.pytorch.hook").Hook

    def make_tensor_proto(nparray_data: Any, tag: str) -> Any:  # numpy removed ndarray.tostring
        numeric, kind = util._get_proto_dtype(nparray_data.dtype)
        dims = [util.TensorShapeProto.Dim(size=n, name=f"{tag}_{n}") for n in nparray_data.shape]
        shape = util.TensorShapeProto(dim=dims)
        if numeric:
            data = nparray_data.tobytes()
            return util.TensorProto(dtype=kind, tensor_content=data, tensor_shape=shape)
        strings = [str(value).encode() for value in nparray_data]
        return util.TensorProto(string_val=strings, tensor_shape=shape)

    scalar_summary = summary.scalar_summary

    def scalar(tag: str, value: Any) -> Any:  # float() no longer takes an array of one element
        return scalar_summary(tag, summary.make_numpy_array(value).reshape(()))

    def make_numpy_array(value: Any) -> Any:  # numpy has no bfloat16 and no float8
        if not isinstance(value, torch.Tensor):
            return summary.make_numpy_array(value)
        value = value.detach()
        narrow = value.is_floating_point() and value.dtype not in (
            torch.float16, torch.float32, torch.float64,
        )  # fmt: skip
        return (value.float() if narrow else value).cpu().numpy()

    util.make_tensor_proto = writer.make_tensor_proto = make_tensor_proto
    summary.scalar_summary = writer.scalar_summary = scalar
    hook._make_numpy_array = staticmethod(make_numpy_array)


def _parse_metrics_config(
    self: Any, config: Mapping[str, Any], config_name: Any, invalid_status: Any
) -> dict[str, Any]:
    """Parse a part of profilerconfig.json, which smdebug would execute as Python."""
    given = config.get(config_name.value, "{}")
    for parse in (json.loads, ast.literal_eval):
        with contextlib.suppress(ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
            found = given if isinstance(given, dict) else parse(str(given))
            if isinstance(found, dict):
                return found
    self._log_new_message(
        invalid_status, self.logger.error, f"{config_name.value} is neither JSON nor a dictionary"
    )
    return {}
