"""Several processes and hosts: the failure of one ends all of them, with its reason."""

import shutil
import signal
import subprocess
from pathlib import Path

import psutil
import pytest
import torch

from classifier import bundle
from tests.opt_ml import OptMl, wait_for
from tests.ports import free_port
from train.job import is_lost_peer
from train.platform import launch

SMALL: dict[str, object] = {
    **{"architecture": "mobilenet_v3_small", "weights": "none", "trainable": "all"},
    **{"image_size": 32, "epochs": 10_000, "batch_size": 48, "workers": 0, "export": "none"},
    **{"debugger": False, "profiler": False},
}
HOSTS = ("localhost", "127.0.0.1")
TIMEOUT = 300  # seconds; each wait takes a few on an idle machine


def start(job: OptMl, processes: int, port: int = 0) -> "subprocess.Popen[str]":
    return job.start(KENNEL_PROCESSES=str(processes), MASTER_PORT=str(port), OMP_NUM_THREADS="1")


def start_hosts(
    root: Path, *photos: Path, processes: int
) -> tuple[list[OptMl], list["subprocess.Popen[str]"]]:
    """Start the two hosts of a job, each with its own copy of the photos."""
    jobs = [
        OptMl.lay_out(root / host, {"train": data}, SMALL, hosts=HOSTS, host=host)
        for host, data in zip(HOSTS, photos, strict=True)
    ]
    port = free_port()
    return jobs, [start(job, processes, port) for job in jobs]


def wait(hosts: list["subprocess.Popen[str]"], *, exit_code: int) -> None:
    """Wait for the hosts of a job and check the exit code of each."""
    logs = [host.communicate(timeout=TIMEOUT)[0] for host in hosts]
    assert [host.returncode for host in hosts] == [exit_code] * len(hosts), "\n".join(logs)


def ranks(process: "subprocess.Popen[str]") -> list[psutil.Process]:
    """Return the training processes of a host, by rank."""
    found = [
        child
        for child in psutil.Process(process.pid).children(recursive=True)
        if "train.job" in child.cmdline()
    ]
    return sorted(found, key=lambda child: int(child.environ()["RANK"]))


@pytest.mark.slow
def test_sigterm_stops_both_hosts_and_one_process_can_resume(
    few_digits: Path, tmp_path: Path
) -> None:
    jobs, hosts = start_hosts(tmp_path, few_digits, few_digits, processes=1)
    wait_for(hosts[0], "validation:macro_f1")
    for host in hosts:
        host.send_signal(signal.SIGTERM)
    wait(hosts, exit_code=0)
    assert not any((job.root / "output" / "failure").exists() for job in jobs)
    assert bundle.load(jobs[0].model).description.training["finished"] is False
    assert not jobs[1].checkpoints
    saved = jobs[0].checkpoints[-1]

    alone = OptMl.lay_out(tmp_path / "alone", {"train": few_digits}, SMALL)
    shutil.copy(saved, alone.root / "checkpoints")
    process = start(alone, 1)
    wait_for(process, f"resuming from {saved.name}")
    wait_for(process, "validation:macro_f1")
    process.send_signal(signal.SIGTERM)
    wait([process], exit_code=0)


@pytest.mark.slow
def test_a_killed_process_ends_both_hosts_and_is_named_on_both(
    few_digits: Path, tmp_path: Path
) -> None:
    jobs, hosts = start_hosts(tmp_path, few_digits, few_digits, processes=2)
    wait_for(hosts[0], "validation:macro_f1")
    ranks(hosts[1])[1].kill()
    wait(hosts, exit_code=1)
    for job in jobs:
        assert job.failure.startswith(
            "ProcessKilled: process 3 on 127.0.0.1 was killed (SIGKILL, most likely out of"
        )


@pytest.mark.slow
def test_processes_that_raise_end_both_hosts_with_the_reason(
    few_digits: Path, tmp_path: Path
) -> None:
    """The second host's copy of the photos is damaged."""
    damaged = tmp_path / "damaged"
    shutil.copytree(few_digits, damaged)
    for path in (damaged / "train").rglob("*.png"):
        path.write_bytes(b"")
    jobs, hosts = start_hosts(tmp_path, few_digits, damaged, processes=1)
    wait(hosts, exit_code=1)
    for job in jobs:
        assert job.failure.startswith("DataError: ")
        assert "the hosts have different pictures, and each needs all" in job.failure
        assert "Traceback (most recent call last)" in job.failure


@pytest.mark.parametrize(
    ("ends", "written", "text"),
    [
        ({3: -9, 2: 1}, "", "process 3 on algo-2 was killed (SIGKILL, most likely out of"),
        ({0: -7}, "", "was killed (SIGBUS, most likely out of shared memory: set workers=0"),
        ({1: -11}, "", "process 1 on algo-2 was killed (SIGSEGV)"),
        ({1: 1, 2: -9}, "DataError: no photos", "DataError: no photos"),
        ({1: 1}, "", "another process was lost: process 1 with 1"),
    ],
)
def test_the_end_of_processes_is_explained(ends: dict[int, int], written: str, text: str) -> None:
    assert text in launch.explain(ends, "algo-2", written)


def test_a_lost_connection_differs_from_other_errors() -> None:
    assert is_lost_peer(RuntimeError("[gloo/transport/tcp/pair.cc:547] Connection closed by peer"))
    assert is_lost_peer(torch.distributed.DistBackendError("NCCL error"))
    assert not is_lost_peer(RuntimeError("CUDA out of memory"))
    assert not is_lost_peer(ValueError("gloo"))


@pytest.mark.slow
def test_a_wrong_number_of_processes_is_refused(few_digits: Path, tmp_path: Path) -> None:
    job = OptMl.lay_out(tmp_path, {"train": few_digits}, SMALL)
    code, log = job.run(KENNEL_PROCESSES="many")
    assert code == 1, log
    assert "KENNEL_PROCESSES is 'many': give the number of training processes" in job.failure
