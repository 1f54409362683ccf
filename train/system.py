"""The host while the job runs: when the job's process began, and samples of cores, memory, GPUs."""

import os
import time

import psutil

STARTED = "KENNEL_PROCESS_STARTED"  # set by train/entry.py, whose process is the job's first


def process_started() -> float:
    """Return when the operating system started the job on this host, in seconds since 1970."""
    told = os.environ.get(STARTED)
    return float(told) if told else own_start()


def own_start() -> float:
    """Return when the operating system started this process.

    By the time since boot, which is kept in hundredths of a second: psutil's counts from a boot
    time in whole seconds.
    """
    try:
        with open("/proc/self/stat", "rb") as file:  # noqa: PTH123
            ticks = int(file.read().rpartition(b")")[2].split()[19])
        since = time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
        return time.time() - since
    except (OSError, AttributeError):
        return psutil.Process().create_time()
