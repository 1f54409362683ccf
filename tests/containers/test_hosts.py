"""Two containers with two processes each, over gloo: they train and fail together."""

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
    **{"batch_size": 48, "learning_rate": 0.001, "precision": "fp32"},
    **{"debugger": False, "profiler": False},
}


@contextlib.contextmanager
def two_hosts(
    images: Images, root: Path, data: Path, settings: dict[str, object]
) -> Iterator[list[tuple[Job, Container]]]:
    """Start both hosts of a job."""
    with images.network() as network, contextlib.ExitStack() as stack:
        started = []
        for host in HOSTS:
            job = Job.prepare(root / host, {"train": data}, settings, hosts=HOSTS, host=host)
            location = ["--network", network, "--network-alias", host]
            processes = ["--env", "KENNEL_PROCESSES=2", "--env", "OMP_NUM_THREADS=1"]
            container = stack.enter_context(
                images.container(*location, *processes, *job.options, images.train, "train")
            )
            started.append((job, container))
        yield started


def wait_for_end(container: Container, seconds: float) -> int:
    """Wait until a container has ended; return its exit code."""
    end = time.monotonic() + seconds
    while (code := container.exit_code) is None:
        assert time.monotonic() < end, f"waited {seconds} s:\n{container.log}"
        time.sleep(0.5)
    return code


def history(job: Job) -> list[dict[str, Any]]:
    figures = json.loads((job.root / "output" / "data" / "metrics.json").read_text())
    found: list[dict[str, Any]] = figures["history"]
    return found


def test_four_processes_on_two_hosts_have_the_loss_curve_of_one(
    images: Images, few_digits: Path, tmp_path: Path
) -> None:
    alone = Job.prepare(tmp_path / "alone", {"train": few_digits}, SETTINGS | {"epochs": 2})
    done = images.run(*alone.options, images.train, "train")
    assert done.returncode == 0, done.stdout
    with two_hosts(images, tmp_path, few_digits, SETTINGS | {"epochs": 2}) as hosts:
        assert [wait_for_end(container, 300) for _, container in hosts] == [0, 0], hosts[0][1].log
        assert "4 training processes" in hosts[0][1].log
    # Sums are added in another order; batch norm amplifies the difference at every step.
    curves = zip(history(alone), history(hosts[0][0]), (1e-3, 1e-2), strict=True)
    for one, four, tolerance in curves:
        for name in ("train:loss", "validation:loss"):
            assert four[name] == pytest.approx(one[name], rel=tolerance)
    assert not list((hosts[1][0].root / "model").iterdir())


def test_a_killed_process_ends_both_hosts_with_its_reason(
    images: Images, few_digits: Path, tmp_path: Path
) -> None:
    with two_hosts(images, tmp_path, few_digits, SETTINGS | {"epochs": 10000}) as hosts:
        first = hosts[0][1]
        first.wait_for(lambda: "validation:macro_f1" in first.log, 300)
        kill = "import psutil, os; [p.kill() for p in psutil.process_iter() if "
        kill += "p.pid != os.getpid() and 'train.job' in p.cmdline() "
        kill += "and p.environ().get('RANK') == '3']"
        begin = time.monotonic()
        killed = images.call("exec", hosts[1][1].name, "/opt/venv/bin/python", "-c", kill)
        assert killed.returncode == 0, killed.stdout
        assert [wait_for_end(container, 120) for _, container in hosts] == [1, 1]
        print(f"both hosts had ended {time.monotonic() - begin:.0f} s after the kill")
        for job, container in hosts:
            assert job.failure.startswith(
                "ProcessKilled: process 3 on algo-2 was killed (SIGKILL"
            ), container.log
