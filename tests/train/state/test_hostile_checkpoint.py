"""Checkpoints that somebody else wrote into the folder, with the right checksum in their names."""

import hashlib
import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
import safetensors.torch
import torch

from train.state import checkpoint


class _Opens:
    """A pickle that would make a file."""

    def __init__(self, trap: Path) -> None:
        self.trap = trap

    def __reduce__(self) -> tuple[object, ...]:
        return (open, (str(self.trap), "w"))


def _stored(state: object) -> bytes:
    text = state if isinstance(state, str) else json.dumps(state)
    return safetensors.torch.save({"0": torch.ones(2)}, metadata={"state": text})


def _header(length: int) -> bytes:
    return length.to_bytes(8, "little") + b"{}"


HOSTILE: dict[str, Callable[[Path], bytes]] = {
    "a pickle": lambda trap: pickle.dumps(_Opens(trap)),
    "no bytes": lambda _: b"",
    "a header of exabytes": lambda _: _header(2**62),
    "a header of nothing": lambda _: _header(2),
    "no state": lambda _: safetensors.torch.save({"0": torch.ones(2)}),
    "a state that is no JSON": lambda _: _stored("{"),
    "a state of nested lists": lambda _: _stored("[" * 100_000),
    "a state that is a number": lambda _: _stored(1),
    "a tensor that is not there": lambda _: _stored({"dict": [["a", {"tensor": "9"}]]}),
    "pairs that are no pairs": lambda _: _stored({"dict": [1]}),
    "an unknown kind": lambda _: _stored({"dict": [["a", {"code": "import os"}]]}),
    "a number in words": lambda _: _stored({"dict": [["a", {"float": "three"}]]}),
}


def _write(folder: Path, step: int, data: bytes) -> None:
    digest = hashlib.sha256(data).hexdigest()[:32]
    (folder / f"step-{step:09d}-{digest}.safetensors").write_bytes(data)


@pytest.mark.parametrize("name", HOSTILE)
def test_a_strangers_checkpoint_is_skipped(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, trap = tmp_path / "checkpoints", tmp_path / "trap"
    folder.mkdir()
    checkpoint.save(folder, {"weights": torch.full((3,), 5.0)}, 1)
    _write(folder, 2, HOSTILE[name](trap))
    found = checkpoint.load_newest(folder)
    assert found
    assert found[0]["weights"].tolist() == [5, 5, 5]
    assert not trap.exists()
    assert "step-000000002" in "".join(capsys.readouterr())


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to("/dev/zero"), os.mkdir])
def test_what_is_no_file_is_skipped(make: Callable[[Path], None], tmp_path: Path) -> None:
    checkpoint.save(tmp_path, {"weights": torch.ones(1)}, 1)
    make(tmp_path / f"step-{2:09d}-{'0' * 32}.safetensors")
    found = checkpoint.load_newest(tmp_path)
    assert found
    assert found[1].name.startswith("step-000000001")
