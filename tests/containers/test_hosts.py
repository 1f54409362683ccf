"""Two containers with two processes each, over gloo: they train as one, and fail as one."""

import contextlib
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.containers.conftest import HYPERPARAMETERS
from tests.containers.engine import Container, Images, Job

pytestmark = pytest.mark.docker

HOSTS = ("algo-1", "algo-2")
SETTINGS = HYPERPARAMETERS | {
    **{"batch_size": "48", "learning_rate": "0.001", "precision": "fp32"},
    **{"debugger": "false", "profiler": "false"},
}


@contextlib.contextmanager
def two(
    images: Images, root: Path, data: Path, settings: dict[str, str]
) -> Iterator[list[tuple[Job, Container]]]:
    """Start two hosts of a job."""
    with images.network() as network, contextlib.ExitStack() as stack:
        started = []
        for host in HOSTS:
            job = Job.lay_out(root / host, {"train": data}, settings, hosts=HOSTS, host=host)
            place = ["--network", network, "--network-alias", host]
            several = ["--env", "KENNEL_PROCESSES=2", "--env", "OMP_NUM_THREADS=1"]
            container = stack.enter_context(
                images.container(*place, *several, *job.options, images.train, "train")
            )
            started.append((job, container))
        yield started


def ended(container: Container, seconds: float) -> int:
    """Wait until it has ended, and return its exit code."""
    end = time.monotonic() + seconds
    while (code := container.exit_code) is None:
        assert time.monotonic() < end, f"not within {seconds} s:\n{container.log}"
        time.sleep(0.5)
    return code


def history(job: Job) -> list[dict[str, Any]]:
    figures = json.loads((job.root / "output" / "data" / "metrics.json").read_text())
    found: list[dict[str, Any]] = figures["history"]
    return found


def test_four_processes_on_two_hosts_have_the_loss_curve_of_one(
    images: Images, few_digits: Path, tmp_path: Path
) -> None:
    alone = Job.lay_out(tmp_path / "alone", {"train": few_digits}, SETTINGS | {"epochs": "2"})
    done = images.run(*alone.options, images.train, "train")
    assert done.returncode == 0, done.stdout
    with two(images, tmp_path, few_digits, SETTINGS | {"epochs": "2"}) as hosts:
        assert [ended(container, 300) for _, container in hosts] == [0, 0], hosts[0][1].log
        assert "4 training processes" in hosts[0][1].log
    # Sums are taken in another order, and batch norm makes more of that with every step.
    curves = zip(history(alone), history(hosts[0][0]), (1e-3, 1e-2), strict=True)
    for one, four, tolerance in curves:
        for name in ("train:loss", "validation:loss"):
            assert four[name] == pytest.approx(one[name], rel=tolerance)
    assert not list((hosts[1][0].root / "model").iterdir())


def test_a_killed_process_ends_both_hosts_with_the_first_cause(
    images: Images, few_digits: Path, tmp_path: Path
) -> None:
    with two(images, tmp_path, few_digits, SETTINGS | {"epochs": "10000"}) as hosts:
        first = hosts[0][1]
        first.wait_for(lambda: "validation:macro_f1" in first.log, 300)
        kill = "import psutil, os; [p.kill() for p in psutil.process_iter() if "
        kill += "p.pid != os.getpid() and 'train.job' in p.cmdline() "
        kill += "and p.environ().get('RANK') == '3']"
        begin = time.monotonic()
        killed = images.call("exec", hosts[1][1].name, "/opt/venv/bin/python", "-c", kill)
        assert killed.returncode == 0, killed.stdout
        assert [ended(container, 120) for _, container in hosts] == [1, 1]
        print(f"both hosts had ended {time.monotonic() - begin:.0f} s after the kill")
        for job, container in hosts:
            assert job.failure.startswith(
                "ProcessKilled: process 3 on algo-2 was killed (SIGKILL)"
            ), container.log
