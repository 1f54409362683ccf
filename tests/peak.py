"""The peak of this process's resident memory while something runs. Linux only."""

import contextlib
import ctypes
import gc
from collections.abc import Iterator
from pathlib import Path

_STATUS = Path("/proc/self/status")


class Peak:
    """The growth of the resident memory at its highest point, MiB; set when the block ends."""

    mib = 0


@contextlib.contextmanager
def measured() -> Iterator[Peak]:
    """Measure the block. Pillow and torch allocate in C, which tracemalloc does not see."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)  # so that the block cannot reuse what earlier tests freed
    Path("/proc/self/clear_refs").write_text("5")  # resets VmHWM, see proc(5)
    before, peak = _kib("VmRSS"), Peak()
    try:
        yield peak
    finally:
        peak.mib = (_kib("VmHWM") - before) // 1024


def _kib(name: str) -> int:
    return int(_STATUS.read_text().partition(f"{name}:")[2].split()[0])
