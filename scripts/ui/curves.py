"""Follows the log of a training job: its metrics by epoch, and its last lines."""

import threading
import time
from collections import deque

from scripts.aws import logs
from scripts.aws.client import Aws
from scripts.console.safe import without_escapes
from train import metrics

# A strange log could have any number of names and epochs.
_MOST_METRICS = 40
_MOST_EPOCHS = 20_000
_TAIL = 200
_LONGEST_LINE = 500
# All pages that show a job share one reader, and at most one look in this time.
_FRESH_S = 0.5
_MOST_JOBS = 100

Points = dict[str, dict[int, float]]


class Followed:
    """A job's log as far as it was read."""

    def __init__(self, aws: Aws, job: str) -> None:
        self._log = logs.Log(aws, logs.TRAINING, f"{job}/")
        self._lock = threading.Lock()
        self._read_at = float("-inf")
        self._complete = False
        self._points: Points = {}
        self._tail: deque[str] = deque(maxlen=_TAIL)

    def update(self, *, ended: bool) -> None:
        """Read what is new; after the job's end one last time."""
        with self._lock:
            if self._complete or time.monotonic() - self._read_at < _FRESH_S:
                return
            for line in self._log.new_lines():
                self._add(line)
            self._read_at = time.monotonic()
            self._complete = ended

    @property
    def tail(self) -> list[str]:
        """The last lines, with their host."""
        return list(self._tail)

    def lines(self) -> dict[str, list[tuple[float, float]]]:
        """Points (epoch, value) by metric, in the order of the epochs."""
        with self._lock:
            return {name: sorted(points.items()) for name, points in self._points.items()}

    def _add(self, line: logs.Line) -> None:
        self._tail.append(without_escapes(f"{line.host} | {line.text[:_LONGEST_LINE]}"))
        if not (point := metrics.point(line.text)):
            return
        name, epoch, value = point
        if name not in self._points and len(self._points) >= _MOST_METRICS:
            return
        points = self._points.setdefault(name, {})
        if epoch in points or len(points) < _MOST_EPOCHS:
            points[epoch] = value  # a restarted job logs an epoch again


_followed: dict[str, Followed] = {}
_guard = threading.Lock()


def follow(aws: Aws, job: str) -> Followed:
    """Return the reader of a job's log; the same one for all pages."""
    with _guard:
        if job not in _followed:
            while len(_followed) >= _MOST_JOBS:
                _followed.pop(next(iter(_followed)))
            _followed[job] = Followed(aws, job)
        return _followed[job]


def kind(metric: str) -> str:
    """What a metric measures: `loss` for `train:loss`, so that both share a chart."""
    return metric.rpartition(":")[2].replace("_", " ")
