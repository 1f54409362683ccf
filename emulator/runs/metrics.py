"""A job's metrics: its regexes, applied to every line of its logs; the values go to CloudWatch."""

import datetime as dt
import math
import threading
from collections.abc import Sequence
from typing import Any

import regex
from moto.cloudwatch.models import cloudwatch_backends

from emulator.context import now
from emulator.contract import Record
from emulator.errors import Invalid
from emulator.settings import ACCOUNT

NAMESPACE = "/aws/sagemaker/TrainingJobs"
# A regex with nested repeats can take longer than the universe is old for one line.
_LONGEST_S = 5
Patterns = list[tuple[str, regex.Pattern[str]]]


def compiled(definitions: Sequence[Record]) -> Patterns:
    """Return MetricDefinitions with their regexes compiled.

    Raises:
        Invalid: a regex cannot be compiled.
    """
    patterns: Patterns = []
    for definition in definitions:
        try:
            patterns.append((definition["Name"], regex.compile(definition["Regex"])))
        except regex.error as error:
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
        self._patterns = list(patterns)
        self._dimensions = [{"Name": "TrainingJobName", "Value": job}]
        self._cloudwatch: Any = cloudwatch_backends[ACCOUNT][region]

    def read(self, line: str) -> list[str]:
        """Find metrics in a log line. A value is the first group of the regex, as a number.

        Returns:
            What the job's owner must know: a regex that takes too long is not used again.
        """
        given_up = []
        for pattern in list(self._patterns):
            try:
                self._find(*pattern, line)
            except TimeoutError:
                with self._lock:
                    if pattern not in self._patterns:  # another host's line was as slow
                        continue
                    self._patterns.remove(pattern)
                given_up.append(
                    f"kennel emulator: the regex of metric {pattern[0]} takes over {_LONGEST_S} s "
                    "for one line: the metric gets no more values in this job. Write it without "
                    "repeats inside of repeats, such as (a+)+"
                )
        return given_up

    def _find(self, name: str, pattern: "regex.Pattern[str]", line: str) -> None:
        for match in pattern.finditer(line, timeout=_LONGEST_S, concurrent=True):
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
