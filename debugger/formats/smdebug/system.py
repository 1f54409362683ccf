"""Reads the system metrics of SageMaker's host agent as records.

    profiler-output/system/incremental/YYYYMMDDHH/<minute, seconds since 1970>.<host>.json

JSON lines: {"Type": "cpu", "Name": "cpu0", "Dimension": "CPUUtilization", "Value": 82.0,
"NodeId": "algo-1", "Timestamp": 1795372360.12}. CPU and GPU are sampled at slightly different
times; values within a quarter of a second become one sample here.
"""

import json
import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from debugger.records import System

FILE = re.compile(r"(?P<minute>\d{9,11})\.(?P<host>[^.]+)\.json(?:\.tmp)?")
# Metrics with a number (cpu0 becomes cpu/0), and metrics with one value per host.
NUMBERED = {"CPUUtilization": "cpu", "GPUUtilization": "gpu", "GPUMemoryUtilization": "gpu_memory"}
SINGLE = {
    "MemoryUsedPercent": "memory",
    "ReadThroughputInBytesPerSecond": "disk_read",
    "WriteThroughputInBytesPerSecond": "disk_written",
    "ReceiveBytesPerSecond": "network_received",
    "TransmitBytesPerSecond": "network_sent",
}
IOWAIT = "I/OWaitPercentage"
_TOGETHER = 0.25  # seconds
_LINE = 1 << 16


@dataclass
class _Sample:
    at: float
    values: dict[str, float] = field(default_factory=dict)

    def record(self, host: str) -> System:
        """Return the record, with averages over the cores."""
        values = {name: item for name, item in self.values.items() if not name.startswith(IOWAIT)}
        for name, prefix in (("cpu", "cpu/"), ("iowait", f"{IOWAIT}/")):
            cores = [item for key, item in self.values.items() if key.startswith(prefix)]
            if cores:
                values[name] = sum(cores) / len(cores)
        return System(self.at, values, host=host)


def hosts(files: Iterable[Path]) -> dict[str, list[Path]]:
    """Return the files of each host, oldest first."""
    found: dict[str, list[tuple[int, Path]]] = {}
    for path in files:
        if match := FILE.fullmatch(path.name):
            found.setdefault(match["host"], []).append((int(match["minute"]), path))
    return {host: [path for _, path in sorted(paths)] for host, paths in sorted(found.items())}


def read(host: str, files: Iterable[Path]) -> Iterator[System]:
    """Yield the samples of a host by time; damaged and incomplete lines are skipped."""
    for path in files:
        sample: _Sample | None = None
        for at, name, value in sorted(_values(path), key=lambda item: item[0]):
            if sample and (name in sample.values or at - sample.at > _TOGETHER):
                yield sample.record(host)
                sample = None
            sample = sample or _Sample(at)
            sample.values[name] = value
        if sample:
            yield sample.record(host)


def _values(path: Path) -> Iterator[tuple[float, str, float]]:
    try:
        with path.open("rb") as file:
            while line := file.readline(_LINE):
                if read := _value(line):
                    yield read
    except OSError:
        return


def _value(line: bytes) -> tuple[float, str, float] | None:
    try:
        given = json.loads(line)
        at, value = float(given["Timestamp"]), float(given["Value"])
        named, dimension = str(given.get("Name", "")), str(given.get("Dimension", ""))
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):
        return None
    if not (0 <= at < 1e12 and math.isfinite(value)):
        return None
    number = re.search(r"\d{1,4}$", named)
    if dimension in NUMBERED and number:
        return at, f"{NUMBERED[dimension]}/{number[0]}", value
    if dimension == IOWAIT:
        return at, f"{IOWAIT}/{named}", value
    single = SINGLE.get(named) or SINGLE.get(dimension)
    return (at, single, value) if single else None
