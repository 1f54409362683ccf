"""What this container may use of its machine, and how the server is laid out on it."""

import contextlib
import math
import os
from dataclasses import dataclass
from pathlib import Path

# A network of this size gains little from more threads; a further worker gains all of them.
_MOST_THREADS = 8
# What a worker takes: Python, torch and a large network.
_WORKER_MB = 1500
_CGROUP = Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class Layout:
    """How many processes do the work, and how much of it each takes at once."""

    workers: int
    threads: int
    batch_size: int


def layout(cores: int, gpus: int, memory_mb: int, workers: int | None = None) -> Layout:
    """Return the layout for a machine.

    With a GPU, two workers share it, so that one decodes while the other computes. Without one,
    a worker takes up to eight cores, and there is a worker more than fit: it computes where the
    others decode, answer, or wait for their last thread. Alone, a request has a worker's cores.

    Args:
        cores: processor cores.
        gpus: how many GPUs.
        memory_mb: MiB of memory, for all workers together.
        workers: set by the user; None chooses.
    """
    more = 0
    if workers is None:
        fitting = math.ceil(cores / _MOST_THREADS)
        wanted = gpus * min(2, max(1, cores // gpus)) if gpus else fitting + 1
        workers = max(1, gpus, min(wanted, memory_mb // _WORKER_MB))
        more = int(not gpus and workers > fitting)
    return Layout(workers, max(1, cores // (workers - more)), 32 if gpus else 8)


def cores() -> int:
    """Return how many processor cores this container may use, rounded up."""
    granted = len(os.sched_getaffinity(0))
    with contextlib.suppress(OSError, ValueError):  # no cgroup v2, or no limit ("max")
        quota, period = _cgroup("cpu.max").split()
        return min(granted, max(1, math.ceil(int(quota) / int(period))))
    with contextlib.suppress(OSError, ValueError):  # cgroup v1; no limit is -1
        quota, period = _cgroup("cpu/cpu.cfs_quota_us"), _cgroup("cpu/cpu.cfs_period_us")
        if int(quota) > 0:
            return min(granted, max(1, math.ceil(int(quota) / int(period))))
    return granted


def memory_mb() -> int:
    """Return how many MiB of memory this container may use."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        with contextlib.suppress(OSError, ValueError):
            total = min(total, int(_cgroup(name)))
    return total // 2**20


def memory_left_mb() -> int:
    """Return how many MiB this container may still take."""
    text = Path("/proc/meminfo").read_text()
    left = int(text.partition("MemAvailable:")[2].split()[0]) * 1024
    for most, used in (
        ("memory.max", "memory.current"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
    ):
        with contextlib.suppress(OSError, ValueError):
            left = min(left, int(_cgroup(most)) - int(_cgroup(used)))
    return left // 2**20


def gpus() -> int:
    """Return how many GPUs this container sees, without starting CUDA."""
    return len(list(Path("/dev").glob("nvidia[0-9]*")))


def _cgroup(name: str) -> str:
    return (_CGROUP / name).read_text()
