"""Checkpoints are atomic, the newest intact one is loaded, and none is a pickle."""

import errno
import os
import random
import resource
from pathlib import Path
from typing import Any

import pytest
import torch

from train.state import checkpoint


def state(step: int) -> dict[str, Any]:
    shared = torch.arange(6.0).reshape(2, 3) + step
    return {
        "network": {"a": shared, "b": shared.T, "half": torch.ones(3, dtype=torch.bfloat16)},
        "optimizer": {"state": {0: {"step": torch.tensor(1.0)}, 7: {}}, "groups": [{"lr": 0.1}]},
        "best": None,
        "history": [{"loss": 0.1 + step, "name": "ä"}],
        "flag": True,
    }


def equal(a: Any, b: Any) -> bool:
    if isinstance(a, torch.Tensor):
        return a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, dict):
        return list(a) == list(b) and all(equal(a[k], b[k]) for k in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(equal, a, b))
    return type(a) is type(b) and a == b


def test_a_checkpoint_is_read_as_it_was_written(tmp_path: Path) -> None:
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


def test_of_several_checkpoints_of_one_step_the_last_is_loaded(tmp_path: Path) -> None:
    """An epoch's last step can be saved twice: by the time limit and by the end of the epoch."""
    checkpoint.save(tmp_path, state(1), 1)
    for number in range(8):
        checkpoint.save(tmp_path, state(20 + number), 2)
        found = checkpoint.load_newest(tmp_path)
        assert found
        assert equal(found[0], state(20 + number))
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("damage", ["cut", "flip", "empty"])
def test_if_the_newest_is_damaged_the_one_before_is_loaded(
    damage: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint.save(tmp_path, state(1), 1)
    newest = checkpoint.save(tmp_path, state(2), 2)
    data = bytearray(newest.read_bytes())
    if damage == "flip":
        data[-1] ^= 1
    length = {"cut": len(data) - 9, "flip": len(data), "empty": 0}[damage]
    newest.write_bytes(data[:length])
    found = checkpoint.load_newest(tmp_path)
    assert found is not None
    assert equal(found[0], state(1))
    assert f"{newest} is damaged" in capsys.readouterr().out


@pytest.mark.parametrize("seed", range(50))
def test_only_an_intact_checkpoint_is_loaded(
    seed: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    draw = random.Random(seed)  # noqa: S311
    paths = [checkpoint.save(tmp_path, state(step), step) for step in (1, 2)]
    damaged = [path for path in paths if draw.random() < 0.7]
    for path in damaged:
        data = bytearray(path.read_bytes())
        if draw.random() < 0.5:
            del data[draw.randrange(len(data)) :]
        else:
            for _ in range(draw.randint(1, 3)):
                data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
            damaged = damaged if data != path.read_bytes() else [p for p in damaged if p != path]
        path.write_bytes(data)
    found = checkpoint.load_newest(tmp_path)
    intact = [path for path in paths if path not in damaged]
    assert (found[1] if found else None) == (intact[-1] if intact else None)
    if found:
        assert equal(found[0], state(paths.index(found[1]) + 1))
    assert ("training starts from the beginning" in capsys.readouterr().out) == (not intact)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EDQUOT])
@pytest.mark.parametrize("when", range(3))
def test_a_failed_write_is_logged_and_keeps_earlier_checkpoints(
    number: int,
    when: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    saver = checkpoint.Saver(tmp_path)
    synced, sync = 0, os.fsync

    def fails(handle: int) -> None:
        nonlocal synced
        synced += 1
        if synced == 2 * when + 1:  # each save syncs a file and its folder
            raise OSError(number, os.strerror(number))
        sync(handle)

    monkeypatch.setattr(os, "fsync", fails)
    for step in range(4):
        saver.save(state(step), step)
    saver.wait()
    log = capsys.readouterr().out
    assert log.count("saved checkpoint step-") == 3
    assert f"the checkpoint of step {when} could not be written" in log
    assert os.strerror(number) in log
    found = checkpoint.load_newest(tmp_path)
    assert found
    assert equal(found[0], state(3))
    assert not list(tmp_path.glob(".*"))


def test_a_short_write_keeps_the_earlier_checkpoint(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    saver = checkpoint.Saver(tmp_path)
    saver.save(state(1), 1)
    saver.wait()
    size = next(tmp_path.iterdir()).stat().st_size
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size // 2, before[1]))  # a real short write
    try:
        saver.save(state(2), 2)
        saver.wait()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "could not be written" in capsys.readouterr().out
    found = checkpoint.load_newest(tmp_path)
    assert found
    assert equal(found[0], state(1))
    assert len(list(tmp_path.iterdir())) == 1


def test_if_the_newest_cannot_be_read_the_one_before_is_loaded(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint.save(tmp_path, state(1), 1)
    newest = tmp_path / "step-000000002-00.safetensors"
    newest.mkdir()
    found = checkpoint.load_newest(tmp_path)
    assert found
    assert equal(found[0], state(1))
    assert f"{newest} cannot be read" in capsys.readouterr().out


def test_weights_can_change_while_a_checkpoint_is_written(tmp_path: Path) -> None:
    weights = torch.zeros(100_000)
    saver = checkpoint.Saver(tmp_path)
    for step in range(1, 6):
        weights.fill_(step)
        saver.save({"weights": weights}, step)
        weights.fill_(-1)
    saver.wait()
    found = checkpoint.load_newest(tmp_path)
    assert found
    assert found[0]["weights"].unique().tolist() == [5]


def test_an_empty_folder_has_no_checkpoint(tmp_path: Path) -> None:
    assert checkpoint.load_newest(tmp_path) is None


def test_a_partial_file_is_not_loaded(tmp_path: Path) -> None:
    (tmp_path / ".checkpoint.partial").write_bytes(b"half")
    assert checkpoint.load_newest(tmp_path) is None


def test_a_checkpoint_contains_no_pickle(tmp_path: Path) -> None:
    data = checkpoint.save(tmp_path, state(1), 1).read_bytes()
    header = int.from_bytes(data[:8], "little")
    assert data[8 : 8 + header].lstrip().startswith(b"{")  # JSON, then raw numbers
    assert b"torch" not in data
