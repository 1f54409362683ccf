"""A job's metrics: its regexes, applied to every line of its logs; the values go to CloudWatch."""

import datetime as dt
import math
import re
import threading
from collections.abc import Sequence
from typing import Any

from moto.cloudwatch.models import cloudwatch_backends

from emulator.context import now
from emulator.contract import Record
from emulator.errors import Invalid
from emulator.settings import ACCOUNT

NAMESPACE = "/aws/sagemaker/TrainingJobs"
Patterns = list[tuple[str, re.Pattern[str]]]


def compiled(definitions: Sequence[Record]) -> Patterns:
    """Return MetricDefinitions with their regexes compiled.

    Raises:
        Invalid: a regex cannot be compiled.
    """
    patterns: Patterns = []
    for definition in definitions:
        try:
            patterns.append((definition["Name"], re.compile(definition["Regex"])))
        except re.error as error:
            raise Invalid(
                f"Invalid metric definition {definition['Name']}: regex {definition['Regex']!r} "
                f"cannot be compiled: {error}"
            ) from None
    return patterns


class Metrics:
    """All values of each metric.

    Args:
        patterns: MetricDefinitions in the request.
        job: the job's name, the dimension in CloudWatch.
        region: of CloudWatch.
    """

    def __init__(self, patterns: Patterns, job: str, region: str) -> None:
        self._lock = threading.Lock()
        self._last: dict[str, Record] = {}
        self._values: dict[str, list[float]] = {}
        self._patterns = patterns
        self._dimensions = [{"Name": "TrainingJobName", "Value": job}]
        self._cloudwatch: Any = cloudwatch_backends[ACCOUNT][region]

    def read(self, line: str) -> None:
        """Find metrics in a log line. A value is the first group of the regex, as a number."""
        for name, regex in self._patterns:
            for match in regex.finditer(line):
                try:
                    value = float(match.group(1))
                except (IndexError, TypeError, ValueError):
                    continue
                with self._lock:
                    self._last[name] = {"MetricName": name, "Value": value, "Timestamp": now()}
                    self._values.setdefault(name, []).append(value)
                    self._publish(name, value)

    def values(self, name: str) -> list[float]:
        """Return all values of a metric so far."""
        with self._lock:
            return list(self._values.get(name, []))

    def final(self) -> list[Record]:
        """Return FinalMetricDataList, without NaN and infinity: JSON cannot express them."""
        with self._lock:
            return [last for last in self._last.values() if math.isfinite(last["Value"])]

    def _publish(self, name: str, value: float) -> None:
        """Put a value into moto's CloudWatch, which takes finite numbers only."""
        if not math.isfinite(value):
            return
        datum = {
            "MetricName": name,
            "Dimensions": self._dimensions,
            "Timestamp": dt.datetime.now(dt.UTC).replace(tzinfo=None),  # as moto compares it
            "Value": value,
            "Unit": "None",
        }
        self._cloudwatch.put_metric_data(NAMESPACE, [datum])
