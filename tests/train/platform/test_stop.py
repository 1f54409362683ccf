"""SIGTERM stops training between two batches; the exit of a failed job is explained."""

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from train.entry import reason
from train.platform.stop import Interrupted, Stop


def work(stop: Stop, batches: int, *, killed_in: int) -> list[int]:
    """Process batches, with a SIGTERM during one of them; return the finished ones."""
    done: list[int] = []
    with contextlib.suppress(Interrupted):
        for batch in stop.watch(range(batches)):
            if batch == killed_in:
                os.kill(os.getpid(), signal.SIGTERM)
            done.append(batch)
        done.append(-1)  # the signal was lost
    return done


@pytest.fixture
def stop() -> Iterator[Stop]:
    before = signal.getsignal(signal.SIGTERM)
    stop = Stop()
    stop.install()
    yield stop
    signal.signal(signal.SIGTERM, before)


def test_the_current_batch_is_finished_first(stop: Stop) -> None:
    assert work(stop, 5, killed_in=2) == [0, 1, 2]


def test_a_stop_during_the_last_batch_is_not_lost(stop: Stop) -> None:
    assert work(stop, 3, killed_in=2) == [0, 1, 2]


def test_without_a_request_all_batches_are_processed() -> None:
    assert list(Stop().watch("abc")) == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (-signal.SIGKILL, "out of memory: lower batch_size or workers"),
        (128 + signal.SIGKILL, "out of memory"),
        (-signal.SIGBUS, "shared memory: set workers=0"),
        (3, "exit code 3 and wrote no reason"),
    ],
)
def test_an_exit_code_is_explained(code: int, words: str, tmp_path: Path) -> None:
    assert words in reason(code, tmp_path / "failure")


def test_the_reason_that_the_job_wrote_comes_first(tmp_path: Path) -> None:
    (tmp_path / "failure").write_text("DataError: no photos\n\nTraceback …\n")
    assert reason(1, tmp_path / "failure").startswith("DataError: no photos")
