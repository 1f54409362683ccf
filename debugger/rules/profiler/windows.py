"""Shared by rules over time: when to scan, and the samples of a host's GPUs."""

from collections import defaultdict, deque
from dataclasses import dataclass, field

import numpy as np

from debugger.records import System
from debugger.rules.rule import Rule

SCAN_US = 60_000_000  # AWS scans the metrics of a job every minute
NEEDS = "a GPU, profiler=true, and more than `patience` samples (1,000 are 8 minutes at 0.5 s)"


@dataclass
class Scans:
    """Tells when a scan is due, by the time in the records."""

    seconds: float
    _next: dict[object, float] = field(default_factory=dict)

    def due(self, at: float, key: object = None) -> bool:
        """Whether an interval has ended; the first call starts the first interval."""
        if key not in self._next:
            self._next[key] = at + self.seconds
        if at < self._next[key]:
            return False
        passed = (at - self._next[key]) // self.seconds + 1 if self.seconds else 0
        self._next[key] += passed * self.seconds
        return True


@dataclass(eq=False)
class SystemRule(Rule):
    """A rule over the samples of each host; it ignores the first `patience` samples."""

    kind = "profiler"
    sees = (System,)

    def __post_init__(self) -> None:
        """Create the state of each host."""
        self.scans = Scans(getattr(self.parameters, "scan_interval_us", SCAN_US) / 1e6)
        self._seen: dict[str, int] = defaultdict(int)

    def ready(self, record: System) -> bool:
        """Count a sample with GPU metrics; return whether `patience` samples have passed."""
        if not gpus(record):
            return False
        self._seen[record.host] += 1
        patient = self._seen[record.host] > getattr(self.parameters, "patience", 0)
        self.datapoints += patient
        return patient


def gpus(record: System, kind: str = "gpu") -> dict[str, float]:
    """Return a metric of each GPU in a sample, by GPU number."""
    start = kind + "/"
    return {
        name[len(start) :]: value for name, value in record.values.items() if name.startswith(start)
    }


def percentile(values: "deque[float] | list[float]", share: float) -> float:
    """Return a percentile."""
    return float(np.percentile(np.asarray(values, dtype=float), share))
