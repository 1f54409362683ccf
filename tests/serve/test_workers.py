"""The supervisor's view of real processes, which report as workers do but load nothing."""

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
health.announce_start()
"""
LIVE = (
    BEGIN
    + """
heart = heartbeat.HeartbeatWriter(directory)
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


def wait_healthy(watched: Workers) -> None:
    until(lambda: watched.healthy() or None)


def test_a_worker_is_healthy_from_its_report_to_its_death_and_its_work_still_counts(
    spawn: Spawn, tmp_path: Path
) -> None:
    watched = workers(tmp_path)
    process = spawn(IDLE)
    wait_healthy(watched)
    watched.maintain()
    assert process.poll() is None
    done = watched.snapshot(healthy=True).work
    assert (done.batches, done.answered, done.pictures) == (1, 2, 3)
    process.kill()
    process.wait()
    assert watched.healthy() == []
    watched.maintain()
    after = watched.snapshot(healthy=False)
    assert (after.work.answered, after.lost, after.workers, after.memory) == (2, 1, 0, 0)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("how", ["endless batch", "stopped"])
def test_a_stuck_worker_is_unhealthy_and_is_killed(spawn: Spawn, tmp_path: Path, how: str) -> None:
    watched = workers(tmp_path, KENNEL_HUNG_SECONDS="3")
    busy = "with heart.busy():\n    time.sleep(600)"
    process = spawn(LIVE + busy if how == "endless batch" else IDLE)
    until(lambda: watched.alive() or None)
    if how == "stopped":
        process.send_signal(signal.SIGSTOP)
    until(lambda: True if not watched.healthy() else None)
    assert watched.alive()
    watched.maintain()
    assert process.wait() == -signal.SIGKILL


def test_an_oversize_worker_is_killed_when_it_is_idle(spawn: Spawn, tmp_path: Path) -> None:
    watched = workers(tmp_path, KENNEL_WORKER_MEMORY_MB="80")
    small, large = spawn(IDLE), spawn(LIVE + "kept = b'x' * (200 * 2**20); time.sleep(600)")
    until(lambda: True if len(watched.healthy()) == 2 else None)

    def ended() -> int | None:
        watched.maintain()
        return large.poll()

    assert until(ended) == -signal.SIGKILL
    assert small.poll() is None


IN_A_BATCH = LIVE.replace(
    "health.report",
    "kept = heart.busy(), b'x' * (200 * 2**20); kept[0].__enter__(); health.report",
)


def test_an_oversize_worker_can_finish_its_batch(spawn: Spawn, tmp_path: Path) -> None:
    watched = workers(tmp_path, KENNEL_WORKER_MEMORY_MB="150")
    process = spawn(IN_A_BATCH + "time.sleep(600)")
    wait_healthy(watched)
    watched.maintain()
    assert process.poll() is None


def test_a_worker_of_twice_its_memory_is_killed_in_its_batch(spawn: Spawn, tmp_path: Path) -> None:
    watched = workers(tmp_path, KENNEL_WORKER_MEMORY_MB="80")
    process = spawn(IN_A_BATCH + "time.sleep(600)")
    wait_healthy(watched)
    watched.maintain()
    assert process.wait(10) == -signal.SIGKILL


def test_workers_that_die_while_loading_are_counted_without_a_report(
    spawn: Spawn, tmp_path: Path
) -> None:
    watched = workers(tmp_path)
    for _ in range(3):
        spawn(BEGIN).wait()
        watched.maintain()
    assert not watched.alive()
    spawn(BEGIN + "os.kill(os.getpid(), 9)").wait()
    with pytest.raises(WorkersError, match="4 workers died while loading"):
        watched.maintain()


def test_a_loaded_worker_resets_the_count_of_deaths(spawn: Spawn, tmp_path: Path) -> None:
    watched = workers(tmp_path)
    for _ in range(3):
        spawn(BEGIN).wait()
        watched.maintain()
    spawn(IDLE)
    wait_healthy(watched)
    watched.maintain()
    spawn(BEGIN).wait()
    watched.maintain()


def test_an_incomplete_heartbeat_is_not_read(tmp_path: Path) -> None:
    assert heartbeat.read(tmp_path, os.getpid()) is None
    (tmp_path / "7.heartbeat").write_bytes(b"half")
    assert heartbeat.read(tmp_path, 7) is None


def test_a_slow_batch_that_goes_on_is_not_stuck(tmp_path: Path) -> None:
    writer = heartbeat.HeartbeatWriter(tmp_path)
    with writer.busy():
        begun = writer._busy_since
        writer.step()
        assert writer._busy_since > begun
    writer.step()
    assert not writer._busy_since, "an idle worker stays idle"
