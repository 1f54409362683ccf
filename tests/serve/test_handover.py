"""The lane and the workers leave files for each other."""

import multiprocessing
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pictures.geometry import CentreCrop
from serve.errors import RequestError
from serve.lane import handover
from serve.lane.handover import Decoded
from tests.serve.running import ROOT

CROP = CentreCrop(256, 224, "bicubic")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(handover.FOLDER_VARIABLE, str(tmp_path))
    return tmp_path


def test_a_model_is_announced_and_withdrawn(folder: Path) -> None:
    for name in ("model", "dogs-1.0", "..", "."):
        handover.announce(name, CROP)
        assert handover.crop_of(folder, name) == CROP
        handover.withdraw(name)
        handover.withdraw(name)
        assert handover.crop_of(folder, name) is None


def test_several_workers_announce_at_the_same_time(folder: Path) -> None:
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=_announce) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0] * 4
    assert [path.name for path in folder.iterdir()] == ["crop-model.json"]


def _announce() -> None:
    for _ in range(300):
        handover.announce("model", CROP)


def test_pixels_and_the_errors_of_lines_arrive_whole(folder: Path) -> None:
    pixels = np.arange(2 * 4 * 4 * 3, dtype=np.uint8).reshape(2, 4, 4, 3)
    errors = {1: RequestError(400, "line 2: no picture", "send one")}
    name = handover.new_name()
    handover.write(folder / name, Decoded(pixels, True, {"top_k": 3}, errors))
    found = handover.read(name)
    assert (found.pixels == pixels).all()
    assert (found.is_list, found.parameters) == (True, {"top_k": 3})
    assert (found.errors[1].code, found.errors[1].message) == (400, "line 2: no picture")


@pytest.mark.parametrize("name", ["", "x", "../secret", "0" * 31, "0" * 33, "crop-model.json"])
def test_only_names_of_the_lane_are_read(name: str, folder: Path) -> None:
    (folder.parent / "secret").write_text("{}\n")
    with pytest.raises(ValueError, match="no pixels of the lane"):
        handover.read(name)


def test_what_a_killed_lane_left_is_removed(folder: Path) -> None:
    handover.announce("model", CROP)
    (folder / handover.new_name()).touch()
    handover.remove_left_over(folder)
    assert [path.name for path in folder.iterdir()] == ["crop-model.json"]


def test_the_lane_needs_no_torch() -> None:
    """Its processes are small, and start in a moment."""
    script = "import sys, serve.lane.server; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=False).returncode == 0
