"""The workers' metrics, in Prometheus's text format and CloudWatch's embedded metric format.

Requests that never reached a worker (wrong path, body too large, full queue) are not counted.
"""

import json
import time
from dataclasses import asdict, dataclass

from serve.front.heartbeat import Work

_NAMES = {
    "batches": "batches computed",
    "answered": "requests answered with a prediction",
    "refused": "requests answered with 4xx",
    "failed": "requests answered with 5xx",
    "pictures": "pictures predicted",
    "seconds": "seconds spent on batches",
}


@dataclass(frozen=True)
class Snapshot:
    """The server at one moment.

    Args:
        work: of all workers since the server started, including dead ones.
        workers: the healthy ones.
        lost: workers that died or were killed since the start.
        memory: resident bytes of the live workers.
        healthy: what `/ping` says.
    """

    work: Work
    workers: int
    lost: int
    memory: int
    healthy: bool


def prometheus(now: Snapshot) -> str:
    """Return the text exposition format, version 0.0.4."""
    lines = []
    for name, value in asdict(now.work).items():
        lines += _series(f"kennel_{name}_total", "counter", _NAMES[name], value)
    lines += _series("kennel_workers_lost_total", "counter", "workers that ended", now.lost)
    lines += _series("kennel_workers", "gauge", "healthy workers", now.workers)
    lines += _series("kennel_workers_memory_bytes", "gauge", "resident, all workers", now.memory)
    lines += _series("kennel_healthy", "gauge", "1 while /ping says 200", int(now.healthy))
    return "\n".join(lines) + "\n"


def _series(name: str, kind: str, meaning: str, value: float) -> list[str]:
    return [f"# HELP {name} {meaning}", f"# TYPE {name} {kind}", f"{name} {value}"]


def embedded(before: Snapshot, now: Snapshot) -> str:
    """Return one line of CloudWatch's embedded metric format: the work between two moments.

    CloudWatch makes metrics of such a line in a log; no call to AWS is needed.

    Source: "Specification: Embedded metric format", Amazon CloudWatch.
    """
    values: dict[str, float] = {
        name: value - getattr(before.work, name) for name, value in asdict(now.work).items()
    }
    values |= {"workers": now.workers, "workers_lost": now.lost - before.lost}
    units = {"seconds": "Seconds"}
    metrics = [{"Name": name, "Unit": units.get(name, "Count")} for name in values]
    about = {"Namespace": "Kennel", "Dimensions": [[]], "Metrics": metrics}
    stamp = {"Timestamp": int(time.time() * 1000), "CloudWatchMetrics": [about]}
    return json.dumps({"_aws": stamp, **values})
