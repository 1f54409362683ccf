"""Fifty processes are killed (SIGKILL) at random moments; every recording can be read."""

import multiprocessing
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from debugger import recording
from debugger.records import End, Record, Start, Step, Tensors
from debugger.report import write
from tests.train import endless

WRITERS, JOBS = 42, 8

pytestmark = pytest.mark.slow


def kill(run: Callable[..., None], *arguments: Any, folder: Path, at: int) -> list[Record]:
    """Call `run` in a process, kill it once its recording has `at` bytes; return the records."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.train.endless"])
    process = context.Process(target=run, args=arguments)
    process.start()
    try:
        while written(folder) < at and process.is_alive():
            time.sleep(0.001)
    finally:
        process.kill()
        process.join()
    assert process.exitcode == -signal.SIGKILL
    return list(recording.read(folder))


def written(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.glob("[!.]*/*.jsonl"))


def check(found: list[Record]) -> None:
    """Check that no step is missing, and that there is no end."""
    assert not any(isinstance(record, End) for record in found)
    steps = [record.step for record in found if isinstance(record, Step) and record.mode == "train"]
    assert steps == list(range(len(steps)))


def test_a_recording_survives_a_kill(tmp_path: Path) -> None:
    lengths = []
    places = random.Random(0)  # noqa: S311
    for number in range(WRITERS):
        folder = tmp_path / str(number)
        found = kill(endless.write, folder, folder=folder, at=places.randrange(1, 1 << 18))
        check(found)
        lengths.append(len(found))
        tensors = [record for record in found if isinstance(record, Tensors)]
        assert all(record.values == endless.LAYERS for record in tensors)
    assert len(set(lengths)) > WRITERS // 4  # they were killed at different moments


def test_a_training_jobs_recording_survives_a_kill(
    few_digits: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    places = random.Random(1)  # noqa: S311
    for number in range(JOBS):
        root = tmp_path / str(number)
        folder = root / "checkpoints" / "recording"
        place = places.randrange(1, 1 << 18)
        found = kill(endless.train, root, few_digits, folder=folder, at=place)
        check(found)
        assert not found or isinstance(found[0], Start)  # empty if killed in the first write
    write(folder, root / "report.html", root / "report.json")
    assert "abrupt" in (root / "report.html").read_text()
