"""The host while the job runs: when the job's process began, and samples of cores, memory, GPUs."""

import contextlib
import importlib
import os
import threading
import time
from collections.abc import Callable
from typing import Any

import psutil

STARTED = "KENNEL_PROCESS_STARTED"  # set by train/entry.py, whose process is the job's first
_LOOK_AROUND = 10.0  # seconds between looks for new processes of the job


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


class Sampler(threading.Thread):
    """Has `take` take a sample of the host every `interval` seconds, until `stop`."""

    def __init__(
        self,
        interval: float,
        take: Callable[[Callable[[], dict[str, float]]], None],
        root: psutil.Process,
    ) -> None:
        super().__init__(name="kennel-system", daemon=True)
        self._interval, self._take = interval, take
        self._ended = threading.Event()
        self._host = Host(root)

    def run(self) -> None:
        """Sample; `take` calls the function it is given, and sees to it that nothing is raised."""
        while not self._ended.wait(self._interval):
            self._take(self._host.sample)

    def stop(self) -> None:
        """End, after the sample at work."""
        self._ended.set()
        self.join(timeout=60)  # a driver that hangs holds up no job


class Host:
    """Counts of this host, and what they were at the sample before.

    Percentages are of the whole host, as SageMaker's own agent gives them, bytes a second too;
    `process_memory` is of the job's processes: `root` and what it started; what they share, such as
    decoded pictures, has a limit of its own and is not in it.
    """

    def __init__(self, root: psutil.Process) -> None:
        self._root = root
        self._processes: list[psutil.Process] = []
        self._looked = -_LOOK_AROUND
        self._gpus = _gpus()
        self._at = time.monotonic()
        self._times = psutil.cpu_times(percpu=True)
        self._traffic = _traffic()

    def sample(self) -> dict[str, float]:
        """Return the figures of records.System since the last sample."""
        now = time.monotonic()
        seconds, self._at = max(1e-3, now - self._at), now
        values = self._cores()
        values["memory"] = psutil.virtual_memory().percent
        values["process_memory"] = float(self._resident(now))
        before, self._traffic = self._traffic, _traffic()
        for name, count in self._traffic.items():
            # Less than before where a network interface or a disk has gone, with its counts.
            values[name] = round(max(0.0, count - before.get(name, count)) / seconds, 1)
        for number, (library, handle) in enumerate(self._gpus):
            memory = library.nvmlDeviceGetMemoryInfo(handle)
            values[f"gpu/{number}"] = float(library.nvmlDeviceGetUtilizationRates(handle).gpu)
            values[f"gpu_memory/{number}"] = round(100 * memory.used / memory.total, 2)
        return values

    def _cores(self) -> dict[str, float]:
        """Return what each core did, and all of them on average, in percent."""
        before, self._times = self._times, psutil.cpu_times(percpu=True)
        busy, waiting = [], []
        for then, now in zip(before, self._times, strict=False):
            idle, wait = (
                now.idle - then.idle,
                getattr(now, "iowait", 0) - getattr(then, "iowait", 0),
            )
            # guest time is counted in user time already
            total = sum(now) - sum(then) - _guest(now) + _guest(then)
            busy.append(_percent(total - idle - wait, total))
            waiting.append(_percent(wait, total))
        values = {
            "cpu": round(sum(busy) / max(1, len(busy)), 2),
            "iowait": round(sum(waiting) / max(1, len(waiting)), 2),
        }
        return values | {f"cpu/{number}": share for number, share in enumerate(busy)}

    def _resident(self, now: float) -> int:
        """Return the bytes that the job's processes hold, each for itself."""
        if now - self._looked >= _LOOK_AROUND:
            self._looked = now
            with contextlib.suppress(psutil.NoSuchProcess):
                self._processes = [self._root, *self._root.children(recursive=True)]
        held = 0
        for process in self._processes:
            with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                memory = process.memory_info()
                held += memory.rss - getattr(memory, "shared", 0)
        return held


def _guest(times: Any) -> float:
    return float(getattr(times, "guest", 0) + getattr(times, "guest_nice", 0))


def _percent(part: float, whole: float) -> float:
    return round(100 * min(1.0, max(0.0, part / whole)), 2) if whole > 0 else 0.0


def _traffic() -> dict[str, float]:
    """Return bytes since boot; none of a kind that the host does not count."""
    found: dict[str, float] = {}
    if disk := psutil.disk_io_counters():
        found |= {"disk_read": disk.read_bytes, "disk_written": disk.write_bytes}
    if network := psutil.net_io_counters():
        found |= {"network_received": network.bytes_recv, "network_sent": network.bytes_sent}
    return found


def _gpus() -> list[tuple[Any, Any]]:
    """Return NVML and its handle of each GPU; none where driver or nvidia-ml-py is missing."""
    try:
        library = importlib.import_module("pynvml")
        library.nvmlInit()
        count = library.nvmlDeviceGetCount()
        return [(library, library.nvmlDeviceGetHandleByIndex(number)) for number in range(count)]
    except Exception:  # whatever NVML raises: its errors are classes of its own
        return []
