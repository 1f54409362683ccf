"""The resources that this container can use, and the processes and threads chosen for them."""

import contextlib
import importlib.util
import math
import os
from dataclasses import dataclass
from pathlib import Path

# More threads make one forward pass little faster; another worker uses them fully.
_MAX_THREADS = 8
# The memory of a worker with a large network: Python, the decoder, and torch or OpenVINO.
_WORKER_MB, _WORKER_WITHOUT_TORCH_MB = 1500, 600
_CGROUP = Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class Layout:
    """The number of worker processes, the threads of each, and the most requests in a batch."""

    workers: int
    threads: int
    batch_size: int


def layout(
    cores: int,
    gpus: int,
    memory_mb: int,
    workers: int | None = None,
    *,
    worker_mb: int = _WORKER_MB,
) -> Layout:
    """Return the layout for a machine.

    Two workers share a GPU, so that one decodes while the other computes. Without a GPU a worker
    has up to eight cores, and one extra worker uses the cores while the others decode, answer, or
    wait for their last thread. A single request has all cores of its worker.

    Args:
        cores: processor cores.
        gpus: how many GPUs.
        memory_mb: MiB of memory, for all workers together.
        workers: set by the user; None chooses.
        worker_mb: MiB of memory that a worker needs.
    """
    extra = 0
    if workers is None:
        fitting = math.ceil(cores / _MAX_THREADS)
        wanted = gpus * min(2, max(1, cores // gpus)) if gpus else fitting + 1
        workers = max(1, gpus, min(wanted, memory_mb // worker_mb))
        extra = int(not gpus and workers > fitting)
    return Layout(workers, max(1, cores // (workers - extra)), 32 if gpus else 8)


def cores() -> int:
    """Return how many processor cores this container can use, rounded up."""
    allowed = len(os.sched_getaffinity(0))
    with contextlib.suppress(OSError, ValueError):  # no cgroup v2, or no limit ("max")
        quota, period = _cgroup("cpu.max").split()
        return min(allowed, max(1, math.ceil(int(quota) / int(period))))
    with contextlib.suppress(OSError, ValueError):  # cgroup v1; no limit is -1
        quota, period = _cgroup("cpu/cpu.cfs_quota_us"), _cgroup("cpu/cpu.cfs_period_us")
        if int(quota) > 0:
            return min(allowed, max(1, math.ceil(int(quota) / int(period))))
    return allowed


def memory_mb() -> int:
    """Return how many MiB of memory this container can use."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        with contextlib.suppress(OSError, ValueError):
            total = min(total, int(_cgroup(name)))
    return total // 2**20


def available_memory_mb() -> int:
    """Return how many MiB of it are still free."""
    text = Path("/proc/meminfo").read_text()
    free = int(text.partition("MemAvailable:")[2].split()[0]) * 1024
    for limit, used in (
        ("memory.max", "memory.current"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
    ):
        with contextlib.suppress(OSError, ValueError):
            free = min(free, int(_cgroup(limit)) - int(_cgroup(used)))
    return free // 2**20


def gpus() -> int:
    """Return the number of visible GPUs, without starting CUDA."""
    return len(list(Path("/dev").glob("nvidia[0-9]*")))


def has(package: str) -> bool:
    """Return whether a package is installed, such as torch, without importing it."""
    try:
        return importlib.util.find_spec(package) is not None
    except ValueError:  # it was imported as None
        return False


def worker_mb() -> int:
    """Return the MiB of memory that a worker of this image needs."""
    return _WORKER_MB if has("torch") else _WORKER_WITHOUT_TORCH_MB


def _cgroup(name: str) -> str:
    return (_CGROUP / name).read_text()
