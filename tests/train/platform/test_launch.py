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
    **{
        "architecture": "mobilenet_v3_small",
        "weights": "none",
        "trainable": "all",
        "image_size": 32,
    },
    **{"epochs": 10_000, "batch_size": 48, "workers": 0, "debugger": False, "profiler": False},
}
HOSTS = ("localhost", "127.0.0.1")
TIMEOUT = 300  # seconds; each wait takes a few on an idle machine


def start(job: OptMl, processes: int, port: int = 0) -> "subprocess.Popen[str]":
    return job.start(KENNEL_PROCESSES=str(processes), MASTER_PORT=str(port), OMP_NUM_THREADS="1")


def lay_out(root: Path, *photos: Path) -> list[OptMl]:
    """Return the two hosts of a job, each with its own copy of the photos."""
    return [
        OptMl.lay_out(root / host, {"train": data}, SMALL, hosts=HOSTS, host=host)
        for host, data in zip(HOSTS, photos, strict=True)
    ]


def ranks(process: "subprocess.Popen[str]") -> list[psutil.Process]:
    """Return the training processes of a host, by rank."""
    found = [
        one
        for one in psutil.Process(process.pid).children(recursive=True)
        if "train.job" in one.cmdline()
    ]
    return sorted(found, key=lambda one: int(one.environ()["RANK"]))


@pytest.mark.slow
def test_sigterm_stops_both_hosts_and_one_process_can_resume(
    few_digits: Path, tmp_path: Path
) -> None:
    port = free_port()
    jobs = lay_out(tmp_path, few_digits, few_digits)
    processes = [start(job, 1, port) for job in jobs]
    wait_for(processes[0], "validation:macro_f1")
    for process in processes:
        process.send_signal(signal.SIGTERM)
    logs = [process.communicate(timeout=TIMEOUT)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], "\n".join(logs)
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
    log = process.communicate(timeout=TIMEOUT)[0]
    assert process.returncode == 0, log


@pytest.mark.slow
def test_a_killed_process_ends_both_hosts_and_is_named_on_both(
    few_digits: Path, tmp_path: Path
) -> None:
    port = free_port()
    jobs = lay_out(tmp_path, few_digits, few_digits)
    processes = [start(job, 2, port) for job in jobs]
    wait_for(processes[0], "validation:macro_f1")
    ranks(processes[1])[1].kill()
    logs = [process.communicate(timeout=TIMEOUT)[0] for process in processes]
    assert [process.returncode for process in processes] == [1, 1], "\n".join(logs)
    for job in jobs:
        assert job.failure.startswith(
            "ProcessKilled: process 3 on 127.0.0.1 was killed (SIGKILL, most likely out of"
        )


@pytest.mark.slow
def test_a_process_that_raises_ends_both_hosts_with_its_reason(
    few_digits: Path, tmp_path: Path
) -> None:
    """Only the second host's copy of the photos is damaged."""
    damaged = tmp_path / "damaged"
    shutil.copytree(few_digits, damaged)
    for path in (damaged / "train").rglob("*.png"):
        path.write_bytes(b"")
    port = free_port()
    jobs = lay_out(tmp_path, few_digits, damaged)
    processes = [start(job, 1, port) for job in jobs]
    logs = [process.communicate(timeout=TIMEOUT)[0] for process in processes]
    assert [process.returncode for process in processes] == [1, 1], "\n".join(logs)
    for job in jobs:
        assert job.failure.startswith("DataError: ")
        assert "pictures cannot be read" in job.failure
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
