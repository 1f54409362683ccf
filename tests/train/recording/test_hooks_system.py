"""Samples of the host and the operators of a profile equal those of psutil and torch."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable

import psutil
import pytest
import torch
from torch.profiler import ProfilerActivity, profile

from train.recording import operators
from train.recording.system import COUNTERS, STARTED, Host, Sampler, note_start, own_start

HOLD_MEMORY = "import sys; held = bytearray(200 << 20); print('held', flush=True); sys.stdin.read()"


def test_a_sample_contains_every_metric() -> None:
    host = Host(psutil.Process())
    time.sleep(0.1)
    values = host.sample()
    cores = psutil.cpu_count() or 1
    assert {f"cpu/{number}" for number in range(cores)} <= set(values)
    for name in ("cpu", "iowait", "memory", "cpu/0"):
        assert 0 <= values[name] <= 100
    assert all(values[name] >= 0 for name in ("network_received", "network_sent"))


def test_a_busy_core_is_seen() -> None:
    host = Host(psutil.Process())
    cores, deadline = [0.0], time.monotonic() + 60
    while max(cores) <= 20 and time.monotonic() < deadline:  # a busy machine can take long
        busy = time.thread_time() + 0.3
        while time.thread_time() < busy:
            pass
        values = host.sample()
        cores = [value for name, value in values.items() if name.startswith("cpu/")]
    assert max(cores) > 20
    assert values["cpu"] == pytest.approx(sum(cores) / len(cores), abs=0.1)


def test_memory_includes_the_processes_that_the_job_started() -> None:
    # Not the tree of this process, because its other children can end at any time.
    shell = ["sh", "-c", '"$0" -c "$1"; true', sys.executable, HOLD_MEMORY]
    with subprocess.Popen(shell, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as job:
        assert job.stdout
        job.stdout.readline()
        root = psutil.Process(job.pid)
        tree = Host(root).sample()["process_memory"]
        alone = root.memory_info().rss
        job.communicate()
    assert tree - alone > 150 << 20


def test_the_sampler_samples_until_it_is_stopped() -> None:
    samples: list[dict[str, float]] = []
    enough = threading.Event()

    def take(sample: Callable[[], dict[str, float]], *, first: bool) -> None:
        samples.append(sample())
        if len(samples) == 3:
            enough.set()

    sampler = Sampler(0.05, take, psutil.Process())
    sampler.start()
    assert enough.wait(60)
    sampler.stop()
    count = len(samples)
    time.sleep(0.2)
    assert len(samples) == count


def test_the_first_sample_covers_the_time_since_the_first_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(STARTED, "")  # both are restored after the test
    monkeypatch.setenv(COUNTERS, "")
    note_start()
    noted = json.loads(os.environ[COUNTERS])
    noted["traffic"]["network_received"] -= 1e6 * 10
    noted["at"] -= 10
    monkeypatch.setenv(COUNTERS, json.dumps(noted))
    host = Host(psutil.Process())
    before = host.since_start
    values = host.sample()
    assert values["network_received"] >= 0.9e6
    assert values["processes"] >= 1
    assert (before, host.since_start) == (True, False)
    for wrong in ("", "{", json.dumps({**noted, "cores": []}), json.dumps({**noted, "at": 1e18})):
        monkeypatch.setenv(COUNTERS, wrong)
        assert not Host(psutil.Process()).since_start


def test_own_start_is_when_the_process_started() -> None:
    assert own_start() == pytest.approx(
        psutil.Process().create_time(), abs=2
    )  # psutil has whole seconds


def test_operators_have_the_times_that_torch_computes() -> None:
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.BatchNorm2d(8))
    with profile(activities=[ProfilerActivity.CPU]) as profiled:
        for _ in range(3):
            network(torch.randn(2, 3, 16, 16)).sum().backward()
    ours = {one.name: one for one in operators.on_cpu(operators._events(profiled))}
    theirs = {one.key: one for one in profiled.key_averages()}
    assert len(ours) > 20
    for name, one in ours.items():
        assert one.calls == theirs[name].count, name
        expected = theirs[name].self_cpu_time_total / 1e6
        assert one.self_seconds == pytest.approx(expected, rel=0.01, abs=2e-6), name
        total = theirs[name].cpu_time_total / 1e6
        assert one.total_seconds == pytest.approx(total, rel=0.01, abs=2e-6), name


def test_kernels_and_copies_of_a_gpu_are_separate_from_cpu_operators() -> None:
    events = [
        {"ph": "X", "cat": "cpu_op", "name": "aten::mm", "tid": 1, "ts": 0, "dur": 9},
        {"ph": "X", "cat": "kernel", "name": "gemm", "tid": 7, "ts": 3, "dur": 40.5},
        {"ph": "X", "cat": "kernel", "name": "gemm", "tid": 7, "ts": 50, "dur": 40.5},
        {"ph": "X", "cat": "gpu_memcpy", "name": "Memcpy HtoD", "tid": 7, "ts": 0, "dur": 100},
    ]
    assert [(one.name, one.calls) for one in operators.on_gpu(events)] == [
        ("Memcpy HtoD", 1),
        ("gemm", 2),
    ]
    assert operators.on_gpu(events)[1].self_seconds == pytest.approx(81e-6)
    assert [one.name for one in operators.on_cpu(events)] == ["aten::mm"]
