"""Checkpoints: whole or not at all, the newest good one, and never a pickle."""

from pathlib import Path
from typing import Any

import pytest
import torch

from train import checkpoint


def state(step: int) -> dict[str, Any]:
    shared = torch.arange(6.0).reshape(2, 3) + step
    return {
        "network": {"a": shared, "b": shared.T, "half": torch.ones(3, dtype=torch.bfloat16)},
        "optimizer": {"state": {0: {"step": torch.tensor(1.0)}, 7: {}}, "groups": [{"lr": 0.1}]},
        "best": None,
        "history": [{"loss": 0.1 + step, "name": "ä"}],
        "flag": True,
    }


def equal(one: Any, other: Any) -> bool:
    if isinstance(one, torch.Tensor):
        return one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, dict):
        return list(one) == list(other) and all(equal(one[k], other[k]) for k in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(equal, one, other))
    return type(one) is type(other) and one == other


def test_what_is_read_is_what_was_written(tmp_path: Path) -> None:
    path = checkpoint.save(tmp_path, state(3), 3)
    found = checkpoint.load_newest(tmp_path)
    assert found is not None
    assert found[1] == path
    assert equal(found[0], state(3))


def test_the_last_two_are_kept(tmp_path: Path) -> None:
    for step in (1, 2, 10):
        checkpoint.save(tmp_path, state(step), step)
    assert [path.name[:14] for path in sorted(tmp_path.iterdir())] == [
        "step-000000002",
        "step-000000010",
    ]


@pytest.mark.parametrize("damage", ["cut", "flip", "empty"])
def test_a_damaged_newest_gives_way_to_the_one_before(
    damage: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint.save(tmp_path, state(1), 1)
    newest = checkpoint.save(tmp_path, state(2), 2)
    data = bytearray(newest.read_bytes())
    if damage == "flip":
        data[-1] ^= 1
    left = {"cut": len(data) - 9, "flip": len(data), "empty": 0}[damage]
    newest.write_bytes(data[:left])
    found = checkpoint.load_newest(tmp_path)
    assert found is not None
    assert equal(found[0], state(1))
    assert f"{newest} is damaged" in capsys.readouterr().out


def test_an_empty_folder_has_none(tmp_path: Path) -> None:
    assert checkpoint.load_newest(tmp_path) is None


def test_a_half_written_one_is_not_taken(tmp_path: Path) -> None:
    (tmp_path / ".checkpoint.partial").write_bytes(b"half")
    assert checkpoint.load_newest(tmp_path) is None


def test_nothing_in_it_is_a_pickle(tmp_path: Path) -> None:
    data = checkpoint.save(tmp_path, state(1), 1).read_bytes()
    header = int.from_bytes(data[:8], "little")
    assert data[8 : 8 + header].lstrip().startswith(b"{")  # JSON, then raw numbers
    assert b"torch" not in data
