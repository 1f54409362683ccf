"""Checkpoints: the whole state of a training run in one safetensors file, never a pickle.

The file name contains the step and a SHA-256 of the file, so that a damaged or half-written file is
detected and the one before it is used. SageMaker copies the folder to S3 while the job runs.
"""

import hashlib
import json
import math
import stat
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch

from pictures.files import write_atomically
from train.platform.log import log

KEEP = 2


class Saver:
    """Writes checkpoints in a thread: training waits only for the copy of the state.

    If the disk fails, training logs it and continues: a second start uses an earlier checkpoint.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._thread: threading.Thread | None = None

    def save(self, state: dict[str, Any], step: int) -> None:
        """Copy `state` and begin to write it, once the checkpoint before is written."""
        tensors: dict[str, torch.Tensor] = {}
        skeleton = json.dumps(_separate(state, tensors), allow_nan=False)
        self.wait()
        self._thread = threading.Thread(
            target=self._write, args=(tensors, skeleton, step), name="checkpoint"
        )
        self._thread.start()

    def wait(self) -> None:
        """Wait until the last checkpoint is on the disk."""
        if self._thread:
            self._thread.join()
            self._thread = None

    def _write(self, tensors: dict[str, torch.Tensor], skeleton: str, step: int) -> None:
        try:
            path = _write(self._directory, tensors, skeleton, step)
        except OSError as error:
            log(
                f"WARNING: the checkpoint of step {step} could not be written to "
                f"{self._directory} ({error}). Training continues; after a restart the job would "
                "resume from an earlier checkpoint: give it a larger volume"
            )
        else:
            log(f"saved checkpoint {path.name}")


def save(directory: Path, state: dict[str, Any], step: int) -> Path:
    """Write `state` (dicts, lists, tensors, numbers, strings); the newest `KEEP` files remain.

    The file appears complete or not at all: it is synced to the disk before it gets its name.

    Raises:
        OSError: the disk is full or fails; earlier checkpoints remain.
    """
    tensors: dict[str, torch.Tensor] = {}
    skeleton = json.dumps(_separate(state, tensors), allow_nan=False)
    return _write(directory, tensors, skeleton, step)


def _write(directory: Path, tensors: dict[str, torch.Tensor], skeleton: str, step: int) -> Path:
    data = safetensors.torch.save(tensors, metadata={"state": skeleton})
    path = directory / f"step-{step:09d}-{_checksum(data)}.safetensors"
    write_atomically(path, data)
    for old in directory.glob(f"step-{step:09d}-*.safetensors"):
        if old != path:  # of the same step, written before the epoch's end was counted
            old.unlink(missing_ok=True)
    for old in _all(directory)[KEEP:]:
        old.unlink(missing_ok=True)
    return path


def load_newest(directory: Path) -> tuple[dict[str, Any], Path] | None:
    """Return the newest intact checkpoint and its file, tensors on the CPU; None if there is none.

    A damaged file is logged and skipped.
    """
    newest = next(intact(directory), None)
    if newest is None and _all(directory):
        log(f"no checkpoint in {directory} is intact: training starts from the beginning")
    return newest


def intact(directory: Path) -> Iterator[tuple[dict[str, Any], Path]]:
    """Yield the intact checkpoints, newest first; damaged files are logged and skipped."""
    for path in _all(directory):
        try:
            data = _read(path)
        except OSError as error:
            log(f"checkpoint {path} cannot be read ({error}): skipped")
            continue
        if _checksum(data) != path.stem.rpartition("-")[2]:
            log(f"checkpoint {path} is damaged (its checksum does not match): skipped")
            continue
        try:
            state = _parse(data)
        except _FOREIGN as error:
            log(f"checkpoint {path} is not one of Kennel's ({error!r}): skipped")
            continue
        yield state, path


def _read(path: Path) -> bytes:
    """Read a regular file: a link or a pipe in a folder that others can write is not followed."""
    if not stat.S_ISREG(path.lstat().st_mode):
        raise OSError("it is not a regular file")
    return path.read_bytes()


def _parse(data: bytes) -> dict[str, Any]:
    """Return the state in the bytes of a file; what it holds is data and never code."""
    tensors = safetensors.torch.load(data)
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    state = _join(json.loads(header["__metadata__"]["state"]), tensors)
    if not isinstance(state, dict):
        raise TypeError("the state is not a dict")
    return state


# What reading a file that somebody else wrote can raise.
_FOREIGN = (
    safetensors.SafetensorError,
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    RecursionError,
)


def _checksum(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:32]


def _all(directory: Path) -> list[Path]:
    """Return the checkpoints, newest first; there is one for each step."""
    return sorted(directory.glob("step-*.safetensors"), reverse=True)


def _separate(value: Any, tensors: dict[str, torch.Tensor]) -> Any:
    """Replace tensors by their names, and dicts by pairs, because JSON keys are strings."""
    if isinstance(value, torch.Tensor):
        name = str(len(tensors))
        # A copy: safetensors refuses tensors that share memory, as best and current weights can.
        tensors[name] = value.detach().to("cpu", copy=True).contiguous()
        return {"tensor": name}
    if isinstance(value, dict):
        return {"dict": [[key, _separate(item, tensors)] for key, item in value.items()]}
    if isinstance(value, list | tuple):
        return {"list": [_separate(item, tensors) for item in value]}
    if isinstance(value, float) and not math.isfinite(value):
        return {"float": str(value)}  # JSON has no NaN
    return value


def _join(value: Any, tensors: dict[str, torch.Tensor]) -> Any:
    if not isinstance(value, dict):
        return value
    if "tensor" in value:
        return tensors[value["tensor"]]
    if "float" in value:
        return float(value["float"])
    if "dict" in value:
        return {key: _join(item, tensors) for key, item in value["dict"]}
    return [_join(item, tensors) for item in value["list"]]
