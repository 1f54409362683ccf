"""The peak of this process's resident memory while something runs. Linux only."""

import contextlib
import ctypes
import gc
import multiprocessing
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
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


def in_fresh_process(call: Callable[[bytes], object], data: bytes, small: bytes) -> int:
    """Return the peak of `call(data)` in MiB, whatever it raises; `call(small)` loads libraries.

    In a process that has allocated much before, malloc takes large blocks from its heap and cannot
    return them: the figure would depend on the tests that ran before.
    """
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_measure, args=(call, data, small, sender))
    process.start()
    sender.close()
    mib: int = receiver.recv()
    process.join()
    return mib


def _measure(
    call: Callable[[bytes], object], data: bytes, small: bytes, sender: Connection
) -> None:
    call(small)
    with measured() as peak, contextlib.suppress(Exception):
        call(data)
    sender.send(peak.mib)


def _kib(name: str) -> int:
    return int(_STATUS.read_text().partition(f"{name}:")[2].split()[0])
