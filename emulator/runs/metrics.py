"""A job's metrics: its regexes, applied to every line of its logs."""

import math
import re
import threading
from collections.abc import Sequence

from emulator.context import now
from emulator.contract import Record
from emulator.errors import Invalid


class Metrics:
    """All values of each metric.

    Args:
        definitions: MetricDefinitions in the request.

    Raises:
        Invalid: a regex cannot be compiled.
    """

    def __init__(self, definitions: Sequence[Record]) -> None:
        self._lock = threading.Lock()
        self._last: dict[str, Record] = {}
        self._values: dict[str, list[float]] = {}
        self._regexes: list[tuple[str, re.Pattern[str]]] = []
        for definition in definitions:
            try:
                self._regexes.append((definition["Name"], re.compile(definition["Regex"])))
            except re.error as error:
                raise Invalid(
                    f"Invalid metric definition {definition['Name']}: regex "
                    f"{definition['Regex']!r} cannot be compiled: {error}"
                ) from None

    def read(self, line: str) -> None:
        """Find metrics in a log line. A value is the first group of the regex, as a number."""
        for name, regex in self._regexes:
            for match in regex.finditer(line):
                try:
                    value = float(match.group(1))
                except (IndexError, TypeError, ValueError):
                    continue
                with self._lock:
                    self._last[name] = {"MetricName": name, "Value": value, "Timestamp": now()}
                    self._values.setdefault(name, []).append(value)

    def values(self, name: str) -> list[float]:
        """Return all values of a metric so far."""
        with self._lock:
            return list(self._values.get(name, []))

    def final(self) -> list[Record]:
        """Return FinalMetricDataList, without NaN and infinity: JSON cannot express them."""
        with self._lock:
            return [last for last in self._last.values() if math.isfinite(last["Value"])]
