"""Checkpoints: the whole state of a training run in one safetensors file, never a pickle.

The file's name carries the step and its own SHA-256, so that a half-written or damaged one is told
apart and the one before is used. SageMaker copies the folder to S3 while the job runs.
"""

import contextlib
import hashlib
import json
import os
import threading
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch

KEEP = 2
_PARTIAL = ".checkpoint.partial"


class Saver:
    """Writes checkpoints while training goes on: only the copy of the state is waited for.

    A disk that fails is said, and training goes on: a second start takes the checkpoint before.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._thread: threading.Thread | None = None

    def save(self, state: dict[str, Any], step: int) -> None:
        """Take a copy of `state` and begin to write it, after the one before."""
        tensors: dict[str, torch.Tensor] = {}
        skeleton = json.dumps(_take_apart(state, tensors))
        self.wait()
        self._thread = threading.Thread(
            target=self._write, args=(tensors, skeleton, step), name="checkpoint"
        )
        self._thread.start()

    def wait(self) -> None:
        """Wait until what was begun is on the disk."""
        if self._thread:
            self._thread.join()
            self._thread = None

    def _write(self, tensors: dict[str, torch.Tensor], skeleton: str, step: int) -> None:
        try:
            path = _write(self._directory, tensors, skeleton, step)
        except OSError as error:
            print(
                f"WARNING: the checkpoint of step {step} could not be written to "
                f"{self._directory} ({error}). Training goes on; started again, the job would go "
                "on from the checkpoint before: give it a larger volume",
                flush=True,
            )
        else:
            print(f"saved checkpoint {path.name}", flush=True)


def save(directory: Path, state: dict[str, Any], step: int) -> Path:
    """Write `state` (dicts, lists, tensors, numbers, strings) and keep the newest `KEEP`.

    The file appears whole or not at all: it is synced to the disk before it gets its name.

    Raises:
        OSError: the disk is full or fails; what was there before is there still.
    """
    tensors: dict[str, torch.Tensor] = {}
    skeleton = json.dumps(_take_apart(state, tensors))
    return _write(directory, tensors, skeleton, step)


def _write(directory: Path, tensors: dict[str, torch.Tensor], skeleton: str, step: int) -> Path:
    data = safetensors.torch.save(tensors, metadata={"state": skeleton})
    path = directory / f"step-{step:09d}-{_checksum(data)}.safetensors"
    partial = directory / _PARTIAL
    try:
        with partial.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            partial.unlink()
        raise
    _sync(directory)
    for old in directory.glob(f"step-{step:09d}-*.safetensors"):
        if old != path:  # of the same step and earlier: before the epoch's end was noted
            old.unlink(missing_ok=True)
    for old in _all(directory)[KEEP:]:
        old.unlink(missing_ok=True)
    return path


def _sync(directory: Path) -> None:
    """Put the new name on the disk before older checkpoints go."""
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def load_newest(directory: Path) -> tuple[dict[str, Any], Path] | None:
    """Return the newest whole checkpoint and its file, tensors on the CPU; None if there is none.

    A damaged one is named, and the one before it taken.
    """
    found = _all(directory)
    for path in found:
        try:
            data = path.read_bytes()
        except OSError as error:
            print(f"checkpoint {path} cannot be read ({error}): passed over", flush=True)
            continue
        if _checksum(data) != path.stem.rpartition("-")[2]:
            print(f"checkpoint {path} is damaged (its checksum does not match): passed over")
            continue
        tensors = safetensors.torch.load(data)
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        state = _put_together(json.loads(header["__metadata__"]["state"]), tensors)
        assert isinstance(state, dict)
        return state, path
    if found:
        print(f"no checkpoint in {directory} is whole: training begins anew", flush=True)
    return None


def _checksum(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:32]


def _all(directory: Path) -> list[Path]:
    """Return the checkpoints, newest first; of one step there is the latest alone."""
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
