"""Checkpoints: the whole state of a training run in one safetensors file, never a pickle.

The file's name carries the step and its own SHA-256, so that a half-written or damaged one is told
apart and the one before is used. SageMaker copies the folder to S3 while the job runs.
"""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch

KEEP = 2
_PARTIAL = ".checkpoint.partial"


def save(directory: Path, state: dict[str, Any], step: int) -> Path:
    """Write `state` (dicts, lists, tensors, numbers, strings) and keep the newest `KEEP`.

    The file appears whole or not at all: it is synced to the disk before it gets its name.
    """
    tensors: dict[str, torch.Tensor] = {}
    skeleton = json.dumps(_take_apart(state, tensors))
    data = safetensors.torch.save(tensors, metadata={"state": skeleton})
    partial = directory / _PARTIAL
    with partial.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    path = directory / f"step-{step:09d}-{hashlib.sha256(data).hexdigest()[:32]}.safetensors"
    partial.replace(path)
    for old in _all(directory)[KEEP:]:
        old.unlink(missing_ok=True)
    return path


def load_newest(directory: Path) -> tuple[dict[str, Any], Path] | None:
    """Return the newest whole checkpoint and its file, tensors on the CPU; None if there is none.

    A damaged one is named, and the one before it taken.
    """
    for path in _all(directory):
        data = path.read_bytes()
        if hashlib.sha256(data).hexdigest()[:32] != path.stem.rpartition("-")[2]:
            print(f"checkpoint {path} is damaged (its checksum does not match): passed over")
            continue
        tensors = safetensors.torch.load(data)
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        state = _put_together(json.loads(header["__metadata__"]["state"]), tensors)
        assert isinstance(state, dict)
        return state, path
    return None


def _all(directory: Path) -> list[Path]:
    """Return the checkpoints, newest first."""
    return sorted(directory.glob("step-*.safetensors"), reverse=True)


def _take_apart(value: Any, tensors: dict[str, torch.Tensor]) -> Any:
    """Replace tensors by their names, and dicts by pairs, since JSON keys are strings only."""
    if isinstance(value, torch.Tensor):
        name = str(len(tensors))
        # A copy of its own: safetensors refuses tensors that share memory, as best and current may.
        tensors[name] = value.detach().to("cpu", copy=True).contiguous()
        return {"tensor": name}
    if isinstance(value, dict):
        return {"dict": [[key, _take_apart(item, tensors)] for key, item in value.items()]}
    if isinstance(value, list | tuple):
        return {"list": [_take_apart(item, tensors) for item in value]}
    return value


def _put_together(value: Any, tensors: dict[str, torch.Tensor]) -> Any:
    if not isinstance(value, dict):
        return value
    if "tensor" in value:
        return tensors[value["tensor"]]
    if "dict" in value:
        return {key: _put_together(item, tensors) for key, item in value["dict"]}
    return [_put_together(item, tensors) for item in value["list"]]
