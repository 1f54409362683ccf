"""The memory that is free: the machine's, or the container's if that is less."""

import ctypes
from pathlib import Path

import psutil

_CGROUP = Path("/sys/fs/cgroup")


def free(cgroup: Path = _CGROUP) -> int:
    """Return the bytes that can be allocated before the system must reclaim memory.

    Args:
        cgroup: the folder with the container's limit, in the format of cgroup v2 or v1.
    """
    return max(0, min(psutil.virtual_memory().available, _below_limit(cgroup)))


def release() -> None:
    """Return freed memory to the system; malloc would keep the gaps between live blocks.

    Source: malloc_trim(3) of glibc; with other C libraries this does nothing.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim:
        trim(0)


def _below_limit(cgroup: Path) -> int:
    for limit, used, reclaimable in (
        ("memory.max", "memory.current", "inactive_file"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "total_inactive_file"),
    ):
        try:
            limit_bytes = int((cgroup / limit).read_text())
            used_bytes = int((cgroup / used).read_text())
            statistics = (cgroup / limit).with_name("memory.stat").read_text()
            # Pages of files count as used, but the system reclaims them first.
            pages = dict(line.split() for line in statistics.splitlines())
            return limit_bytes - used_bytes + int(pages.get(reclaimable, 0))
        except (OSError, ValueError):  # no such file, or `max`: no limit
            continue
    return 2**63
