"""How much memory there is to be had: the machine's, or the container's where that is less."""

import ctypes
from pathlib import Path

import psutil

_CGROUP = Path("/sys/fs/cgroup")


def free(cgroup: Path = _CGROUP) -> int:
    """Return the bytes that can be taken before something must be given up.

    Args:
        cgroup: where the container's own limit stands, in the second or first form.
    """
    return max(0, min(psutil.virtual_memory().available, _below_limit(cgroup)))


def give_back() -> None:
    """Return to the system what was freed: gaps between what stays, malloc would keep to itself.

    Source: malloc_trim(3), glibc's alone; elsewhere nothing happens.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim:
        trim(0)


def _below_limit(cgroup: Path) -> int:
    for limit, used, given_up in (
        ("memory.max", "memory.current", "inactive_file"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "total_inactive_file"),
    ):
        try:
            most = int((cgroup / limit).read_text())
            taken = int((cgroup / used).read_text())
            statistics = (cgroup / limit).with_name("memory.stat").read_text()
            # Pages of files count as used, and are given up first.
            pages = dict(line.split() for line in statistics.splitlines())
            return most - taken + int(pages.get(given_up, 0))
        except (OSError, ValueError):  # not here, or `max`: no limit
            continue
    return 2**63
