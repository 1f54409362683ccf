"""Rules over GPU utilisation; a job without a GPU has no data for them."""

from collections import defaultdict, deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from debugger.records import Fired, Record, System
from debugger.rules.profiler.windows import NEEDS, SCAN_US, SystemRule, gpus, percentile
from debugger.rules.rule import RuleParameters


class WindowParameters(RuleParameters):
    """Parameters of a rule over the last `window` samples."""

    patience: int = 1000
    window: int = 500
    scan_interval_us: int = SCAN_US


@dataclass(eq=False)
class BatchSize(SystemRule):
    """Fires at a scan when nothing is busy, so a larger batch would fit.

    That means: over the last `window` samples, the 95th percentiles of the CPU, of every GPU and of
    every GPU's memory are below their thresholds (`cpu_threshold_p95`, `gpu_threshold_p95`,
    `gpu_memory_threshold_p95`). The first `patience` samples do not count. A scan happens every
    `scan_interval_us` microseconds.
    """

    class Parameters(WindowParameters):
        cpu_threshold_p95: float = 70.0
        gpu_threshold_p95: float = 70.0
        gpu_memory_threshold_p95: float = 70.0

    description = "CPUs, GPUs and GPU memory are all underused: the batch is too small."
    advice = (
        "Raise batch_size (and learning_rate with it), or use a smaller instance. The percentages "
        "show how much of this instance is used."
    )
    source = "AWS built-in rule BatchSize: p95 of all three below 70, patience 1000, window 500"
    needs = NEEDS

    def __post_init__(self) -> None:
        """Create the windows."""
        super().__post_init__()
        self._windows: dict[str, dict[str, deque[float]]] = {}

    def see(self, record: Record) -> Iterator[Fired]:
        """Check samples of hosts."""
        if not isinstance(record, System) or not self.ready(record):
            return
        size = self.parameters.window
        windows = self._windows.setdefault(record.host, defaultdict(lambda: deque(maxlen=size)))
        for name, value in record.values.items():
            if name == "cpu" or name.startswith(("gpu/", "gpu_memory/")):
                windows[name].append(value)
        if not self.scans.due(record.at, record.host) or len(windows["gpu/" + _any(record)]) < size:
            return
        high = {name: percentile(values, 95) for name, values in windows.items()}
        if all(value < self._threshold(name) for name, value in high.items()):
            shown = ", ".join(f"{name} {value:.0f} %" for name, value in high.items())
            yield self.fire(
                record,
                -1,
                f"the 95th percentiles are all below their thresholds: {shown}",
                p95=high,
            )

    def _threshold(self, name: str) -> float:
        kind = name.partition("/")[0]
        return float(getattr(self.parameters, f"{kind}_threshold_p95"))


def _any(record: System) -> str:
    return next(iter(gpus(record)))


@dataclass(eq=False)
class _Bottleneck(SystemRule):
    """Fires at a scan when GPUs are mostly idle while something else is busy."""

    needs = NEEDS
    metric: ClassVar[str]
    limit: ClassVar[str]

    def __post_init__(self) -> None:
        """Create the counts."""
        super().__post_init__()
        self._points: dict[str, int] = defaultdict(int)
        self._waiting: dict[str, int] = defaultdict(int)

    def see(self, record: Record) -> Iterator[Fired]:
        """Count the samples in which a GPU is idle while the other resource is busy."""
        if not isinstance(record, System) or not self.ready(record):
            return
        host = record.host
        self._points[host] += 1
        idle = min(gpus(record).values()) < self.parameters.gpu_threshold
        busy = record.values.get(self.metric, 0.0) > getattr(self.parameters, self.limit)
        self._waiting[host] += idle and busy
        share = 100 * self._waiting[host] / self._points[host]
        if self.scans.due(record.at, host) and share > self.parameters.threshold:
            text = f"a GPU was idle while {self.metric} was busy, {share:.0f} % of the time"
            yield self.fire(record, -1, text, share=share, samples=self._points[host])

    def details(self) -> Mapping[str, Any]:
        """Return the percentage of such samples for each host."""
        shares = {host: 100 * self._waiting[host] / n for host, n in self._points.items()}
        return {"percent_of_time": shares}


@dataclass(eq=False)
class CPUBottleneck(_Bottleneck):
    """Fires at a scan when GPUs wait for the CPU in over `threshold` percent of the samples.

    In such a sample a GPU is below `gpu_threshold` percent, and all cores together are above
    `cpu_threshold` percent. The first `patience` samples do not count. A scan happens every
    `scan_interval_us` microseconds.
    """

    class Parameters(RuleParameters):
        threshold: float = 50.0
        gpu_threshold: float = 10.0
        cpu_threshold: float = 90.0
        patience: int = 1000
        scan_interval_us: int = SCAN_US

    description = "GPUs wait for the CPU."
    advice = (
        "Use smaller pictures, a cheaper augmentation (`augment`), or an instance with more cores "
        "per GPU."
    )
    source = "AWS built-in rule CPUBottleneck: gpu < 10, cpu > 90, in over 50 % of points"
    metric, limit = "cpu", "cpu_threshold"


@dataclass(eq=False)
class IOBottleneck(_Bottleneck):
    """Fires at a scan when GPUs wait for storage in over `threshold` percent of the samples.

    In such a sample a GPU is below `gpu_threshold` percent, and the I/O wait of the CPU is above
    `io_threshold` percent. The first `patience` samples do not count. A scan happens every
    `scan_interval_us` microseconds.
    """

    class Parameters(RuleParameters):
        threshold: float = 50.0
        gpu_threshold: float = 10.0
        io_threshold: float = 50.0
        patience: int = 1000
        scan_interval_us: int = SCAN_US

    description = "GPUs wait for storage."
    advice = "For many small pictures use File mode or FSx instead of FastFile, or a faster volume."
    source = "AWS built-in rule IOBottleneck: gpu < 10, iowait > 50, in over 50 % of points"
    metric, limit = "iowait", "io_threshold"


@dataclass(eq=False)
class LowGPUUtilization(SystemRule):
    """Fires at a scan for each GPU that is mostly idle, or busy only some of the time.

    Mostly idle: over the last `window` samples, the 95th percentile is below `threshold_p95`. Busy
    some of the time: it is above, but the 5th percentile is below `threshold_p5`. The first
    `patience` samples do not count. A scan happens every `scan_interval_us` microseconds.
    """

    class Parameters(WindowParameters):
        threshold_p95: float = 70.0
        threshold_p5: float = 10.0

    description = "GPUs are mostly idle, or busy only some of the time."
    advice = (
        "Mostly idle: raise batch_size, use precision=auto, or a smaller instance. Busy only some "
        "of the time: the time split shows what the GPU waits for (data, evaluation, checkpoints)."
    )
    source = "AWS built-in rule LowGPUUtilization: p95 < 70, or p5 < 10; patience 1000, window 500"
    needs = NEEDS

    def advise(self) -> str:
        """Leave out the precision if it is not fp32."""
        fast = self.setting("precision") not in (None, "fp32")
        return self.advice.replace("use precision=auto, ", "") if fast else self.advice

    def __post_init__(self) -> None:
        """Create the windows."""
        super().__post_init__()
        size = self.parameters.window
        self._windows: dict[tuple[str, str], deque[float]] = defaultdict(lambda: deque(maxlen=size))

    def see(self, record: Record) -> Iterator[Fired]:
        """Check samples of GPUs."""
        if not isinstance(record, System) or not self.ready(record):
            return
        due = self.scans.due(record.at, record.host)
        for gpu, value in gpus(record).items():
            window = self._windows[record.host, gpu]
            window.append(value)
            if not due or len(window) < self.parameters.window:
                continue
            low, high = percentile(window, 5), percentile(window, 95)
            idle = high < self.parameters.threshold_p95
            if idle or low < self.parameters.threshold_p5:
                how = "is underused" if idle else "is busy only some of the time"
                text = f"GPU {gpu} {how}: p95 {high:.0f} %, p5 {low:.0f} %"
                yield self.fire(record, -1, text, gpu=gpu, p95=high, p5=low)


@dataclass(eq=False)
class LoadBalancing(SystemRule):
    """Fires at a scan when some GPUs of a host are much busier than others.

    The rule compares the distributions of GPU utilisation by their earth mover's distance: the area
    between the cumulative distributions, 1 if one GPU is always busy and the other never. It fires
    when the largest distance is over `threshold`. The first `patience` samples do not count. A scan
    happens every `scan_interval_us` microseconds. AWS does not document its distance; this one does
    not depend on histogram bins.
    """

    class Parameters(RuleParameters):
        threshold: float = 0.2
        patience: int = 1000
        scan_interval_us: int = SCAN_US

    description = "Some GPUs of a host are much busier than others."
    advice = (
        "Check that all processes get the same number of pictures, and that no process does extra "
        "work alone (evaluation, checkpoints, augmentation)."
    )
    source = "AWS built-in rule LoadBalancing: distance of utilisation histograms > 0.2"
    needs = "two GPUs on a host; " + NEEDS

    def __post_init__(self) -> None:
        """Create the histograms."""
        super().__post_init__()
        self._histograms: dict[str, dict[str, np.ndarray]] = defaultdict(
            lambda: defaultdict(lambda: np.zeros(101))
        )

    def see(self, record: Record) -> Iterator[Fired]:
        """Check samples of GPUs."""
        if not isinstance(record, System) or len(gpus(record)) < 2 or not self.ready(record):
            return
        histograms = self._histograms[record.host]
        for gpu, value in gpus(record).items():
            histograms[gpu][min(100, max(0, round(value)))] += 1
        if not self.scans.due(record.at, record.host):
            return
        running = {gpu: np.cumsum(item) / item.sum() for gpu, item in histograms.items()}
        means = {gpu: 100 - float(item[:-1].sum()) for gpu, item in running.items()}
        least, most = min(means, key=lambda g: means[g]), max(means, key=lambda g: means[g])
        distance = float(np.abs(running[least] - running[most])[:-1].sum()) / 100
        if distance > self.parameters.threshold:
            text = f"GPU {most} is {means[most]:.0f} % busy on average, GPU {least} is"
            text = f"{text} {means[least]:.0f} %"
            yield self.fire(record, -1, text, distance=distance, utilisation=means)
