"""The supervisor's eye on real processes, which report as workers do but load nothing."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from serve.front import health, heartbeat
from serve.front.workers import Workers, WorkersError
from serve.settings import Settings
from tests.serve.running import ROOT, until

Spawn = Callable[[str], "subprocess.Popen[bytes]"]
BEGIN = """
import os, time
from pathlib import Path
from serve.front import health, heartbeat
directory = Path(os.environ[health.DIRECTORY_VARIABLE])
health.announce()
"""
LIVE = (
    BEGIN
    + """
heart = heartbeat.Heart(directory)
with heart.busy() as work:
    work.answered, work.pictures = 2, 3
health.report(directory, difference=0.0)
"""
)
IDLE = LIVE + "time.sleep(600)"


@pytest.fixture
def spawn(tmp_path: Path) -> Iterator[Spawn]:
    with ExitStack() as living:

        def start(code: str) -> "subprocess.Popen[bytes]":
            process = subprocess.Popen(
                [sys.executable, "-c", code],
                env={health.DIRECTORY_VARIABLE: str(tmp_path), "PYTHONPATH": str(ROOT)},
            )
            living.callback(process.wait)
            living.callback(process.kill)
            return process

        yield start


def workers(directory: Path, **given: str) -> Workers:
    return Workers(directory, Settings.from_environment(given))


def wait_well(watched: Workers) -> None:
    until(lambda: watched.well() or None)


def test_a_worker_that_reported_is_well_until_it_dies_and_its_work_counts_on(
    spawn: Spawn, tmp_path: Path
) -> None:
    watched = workers(tmp_path)
    process = spawn(IDLE)
    wait_well(watched)
    watched.tend()
    assert process.poll() is None
    done = watched.snapshot(healthy=True).work
    assert (done.batches, done.answered, done.pictures) == (1, 2, 3)
    process.kill()
    process.wait()
    assert watched.well() == []
    watched.tend()
    after = watched.snapshot(healthy=False)
    assert (after.work.answered, after.lost, after.workers, after.memory) == (2, 1, 0, 0)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("how", ["busy for ever", "stopped"])
def test_a_stuck_worker_is_not_well_and_is_ended(spawn: Spawn, tmp_path: Path, how: str) -> None:
    watched = workers(tmp_path, KENNEL_HUNG_SECONDS="3")
    busy = "with heart.busy():\n    time.sleep(600)"
    process = spawn(LIVE + busy if how == "busy for ever" else IDLE)
    until(lambda: watched.alive() or None)
    if how == "stopped":
        process.send_signal(signal.SIGSTOP)
    until(lambda: True if not watched.well() else None)
    assert watched.alive()
    watched.tend()
    assert process.wait() == -signal.SIGKILL


def test_a_worker_that_grew_too_large_is_ended_while_it_is_idle(
    spawn: Spawn, tmp_path: Path
) -> None:
    watched = workers(tmp_path, KENNEL_WORKER_MEMORY_MB="80")
    small, large = spawn(IDLE), spawn(LIVE + "kept = b'x' * (200 * 2**20); time.sleep(600)")
    until(lambda: True if len(watched.well()) == 2 else None)

    def ended() -> int | None:
        watched.tend()
        return large.poll()

    assert until(ended) == -signal.SIGKILL
    assert small.poll() is None


def test_a_worker_too_large_gets_time_to_finish_its_batch(spawn: Spawn, tmp_path: Path) -> None:
    watched = workers(tmp_path, KENNEL_WORKER_MEMORY_MB="1")
    batch = "kept = heart.busy(); kept.__enter__(); health.report"
    process = spawn(LIVE.replace("health.report", batch) + "time.sleep(600)")
    wait_well(watched)
    watched.tend()
    assert process.poll() is None


def test_workers_that_die_while_loading_are_missed_though_they_never_reported(
    spawn: Spawn, tmp_path: Path
) -> None:
    watched = workers(tmp_path)
    for _ in range(3):
        spawn(BEGIN).wait()
        watched.tend()
    assert not watched.alive()
    spawn(BEGIN + "os.kill(os.getpid(), 9)").wait()
    with pytest.raises(WorkersError, match="4 workers died while loading"):
        watched.tend()


def test_a_worker_that_loads_in_the_end_wipes_the_slate(spawn: Spawn, tmp_path: Path) -> None:
    watched = workers(tmp_path)
    for _ in range(3):
        spawn(BEGIN).wait()
        watched.tend()
    spawn(IDLE)
    wait_well(watched)
    watched.tend()
    spawn(BEGIN).wait()
    watched.tend()


def test_a_pulse_is_whole_or_not_there(tmp_path: Path) -> None:
    assert heartbeat.read(tmp_path, os.getpid()) is None
    (tmp_path / "7.pulse").write_bytes(b"half")
    assert heartbeat.read(tmp_path, 7) is None
