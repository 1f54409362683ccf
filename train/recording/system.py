"""Samples of the host's cores, memory, disks, network and GPUs, and the start of the job."""

import contextlib
import importlib
import json
import os
import threading
import time
from collections.abc import Callable
from typing import Any, Protocol

import psutil

STARTED = "KENNEL_PROCESS_STARTED"  # set by train/entry.py, whose process is the job's first
COUNTERS = "KENNEL_FIRST_COUNTERS"  # of the host when that process began, as JSON
_REFRESH = 10.0  # seconds between searches for new processes of the job


def process_started() -> float:
    """Return when the operating system started the job on this host, in seconds since 1970."""
    given = os.environ.get(STARTED)
    return float(given) if given else own_start()


def own_start() -> float:
    """Return when the operating system started this process.

    It is computed from the time since boot, which Linux keeps in hundredths of a second; psutil
    computes it from the boot time, which has whole seconds.
    """
    try:
        with open("/proc/self/stat", "rb") as file:  # noqa: PTH123
            ticks = int(file.read().rpartition(b")")[2].split()[19])
        since = time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
        return time.time() - since
    except (OSError, AttributeError):
        return psutil.Process().create_time()


def note_start() -> None:
    """Store the start of this process and the host's counters, for the recorder of its children."""
    os.environ[STARTED] = str(own_start())
    with contextlib.suppress(Exception):  # figures of the start are not worth a failed job
        times = [list(core) for core in psutil.cpu_times(percpu=True)]
        found = {"at": time.monotonic(), "cores": times}
        os.environ[COUNTERS] = json.dumps({**found, "traffic": _traffic()})


class Record(Protocol):
    """Records a sample, which the given function takes."""

    def __call__(self, sample: Callable[[], dict[str, float]], *, first: bool) -> None:
        """Take the sample and record it."""


class Sampler(threading.Thread):
    """Calls `record` with a function that samples the host, every `interval` seconds until `stop`.

    `record` must not raise. It is called with first=True for a sample since the start of the job.
    """

    def __init__(
        self,
        interval: float,
        record: "Record",
        root: psutil.Process,
    ) -> None:
        super().__init__(name="kennel-system", daemon=True)
        self._interval, self._record = interval, record
        self._ended = threading.Event()
        self._host = Host(root)

    def run(self) -> None:
        """Run in the thread; the first sample is about the time since the job's first process."""
        if self._host.since_start:
            self._record(self._host.sample, first=True)
        while not self._ended.wait(self._interval):
            self._record(self._host.sample, first=False)

    def stop(self) -> None:
        """End the thread, after the current sample."""
        self._ended.set()
        self.join(timeout=60)  # a driver that hangs must not hang the job


class Host:
    """The counters of this host, each compared with its value at the previous sample.

    Percentages and bytes per second are of the whole host, as SageMaker's own agent gives them.
    The first sample covers the time since the job's first process, if that noted the counters.
    `process_memory` is that of the job's processes: `root` and its descendants, `processes` in
    number. Memory that they share, such as the cache of decoded pictures, has a limit of its own
    and is not included.
    """

    def __init__(self, root: psutil.Process) -> None:
        self._root = root
        self._processes: list[psutil.Process] = []
        self._refreshed = -_REFRESH
        self._gpus = _gpus()
        self._at = time.monotonic()
        self._times = psutil.cpu_times(percpu=True)
        self._traffic = _traffic()
        self.since_start = False  # whether the next sample covers the time since the start
        with contextlib.suppress(Exception):  # counters of another machine, or none
            self._begin(json.loads(os.environ[COUNTERS]))

    def _begin(self, noted: dict[str, Any]) -> None:
        """Count from the counters that the job's first process noted."""
        kind = type(self._times[0])
        cores = [kind(*core) for core in noted["cores"]]
        if noted["at"] < self._at and len(cores) == len(self._times):
            self._at, self._times, self._traffic = noted["at"], cores, noted["traffic"]
            self.since_start = True

    def sample(self) -> dict[str, float]:
        """Return the figures of records.System since the last sample."""
        self.since_start = False
        now = time.monotonic()
        seconds, self._at = max(1e-3, now - self._at), now
        values = self._cores()
        values["memory"] = psutil.virtual_memory().percent
        held, processes = self._resident(now)
        values |= {"process_memory": float(held), "processes": float(processes)}
        before, self._traffic = self._traffic, _traffic()
        for name, count in self._traffic.items():
            # The count falls when a network interface or a disk is removed.
            values[name] = round(max(0.0, count - before.get(name, count)) / seconds, 1)
        for number, (library, handle) in enumerate(self._gpus):
            memory = library.nvmlDeviceGetMemoryInfo(handle)
            values[f"gpu/{number}"] = float(library.nvmlDeviceGetUtilizationRates(handle).gpu)
            values[f"gpu_memory/{number}"] = round(100 * memory.used / memory.total, 2)
        return values

    def _cores(self) -> dict[str, float]:
        """Return the use of each core and the average of all, in percent."""
        before, self._times = self._times, psutil.cpu_times(percpu=True)
        busy, waiting = [], []
        for then, now in zip(before, self._times, strict=False):
            idle = now.idle - then.idle
            wait = getattr(now, "iowait", 0) - getattr(then, "iowait", 0)
            # user time includes guest time
            total = sum(now) - sum(then) - _guest(now) + _guest(then)
            busy.append(_percent(total - idle - wait, total))
            waiting.append(_percent(wait, total))
        values = {
            "cpu": round(sum(busy) / max(1, len(busy)), 2),
            "iowait": round(sum(waiting) / max(1, len(waiting)), 2),
        }
        return values | {f"cpu/{number}": share for number, share in enumerate(busy)}

    def _resident(self, now: float) -> tuple[int, int]:
        """Return the bytes that the job's processes hold and do not share, and their number."""
        if now - self._refreshed >= _REFRESH:
            self._refreshed = now
            with contextlib.suppress(psutil.NoSuchProcess):
                self._processes = [self._root, *self._root.children(recursive=True)]
        held = count = 0
        for process in self._processes:
            with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                memory = process.memory_info()
                held += memory.rss - getattr(memory, "shared", 0)
                count += 1
        return held, count


def _guest(times: Any) -> float:
    return float(getattr(times, "guest", 0) + getattr(times, "guest_nice", 0))


def _percent(part: float, whole: float) -> float:
    return round(100 * min(1.0, max(0.0, part / whole)), 2) if whole > 0 else 0.0


def _traffic() -> dict[str, float]:
    """Return the bytes since boot, of the kinds that the host counts."""
    found: dict[str, float] = {}
    if disk := psutil.disk_io_counters():
        found |= {"disk_read": disk.read_bytes, "disk_written": disk.write_bytes}
    if network := psutil.net_io_counters():
        found |= {"network_received": network.bytes_recv, "network_sent": network.bytes_sent}
    return found


def _gpus() -> list[tuple[Any, Any]]:
    """Return NVML and its handle of each GPU; none if the driver or nvidia-ml-py is missing."""
    try:
        library = importlib.import_module("pynvml")
        library.nvmlInit()
        count = library.nvmlDeviceGetCount()
        return [(library, library.nvmlDeviceGetHandleByIndex(number)) for number in range(count)]
    except Exception:  # NVML has error classes of its own
        return []
