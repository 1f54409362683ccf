"""Rules that never fire: their details are summaries for the report."""

from array import array
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from debugger import records
from debugger.records import Fired, Record
from debugger.rules.rule import Rule
from debugger.timeline import Timeline

_MOST = 16_384  # samples of a metric that are stored


@dataclass
class _Values:
    """Minimum and maximum of a metric, and an evenly spaced selection of its values."""

    stored: "array[float]" = field(default_factory=lambda: array("d"))
    every: int = 1
    seen: int = 0
    low: float = float("inf")
    high: float = float("-inf")

    def add(self, value: float) -> None:
        self.low, self.high = min(self.low, value), max(self.high, value)
        if self.seen % self.every == 0:
            self.stored.append(value)
            if len(self.stored) >= _MOST:
                self.stored, self.every = self.stored[::2], 2 * self.every
        self.seen += 1

    def figures(self) -> dict[str, float]:
        p50, p95, p99 = np.percentile(self.stored, (50, 95, 99)).tolist()
        return {"max": self.high, "p99": p99, "p95": p95, "p50": p50, "min": self.low}


@dataclass(eq=False)
class OverallSystemUsage(Rule):
    """Reports max, p99, p95, p50 and min of every metric of each host. Never fires."""

    kind = "profiler"
    sees = (records.System,)
    description = "How busy the hosts were."
    advice = "Look for metrics near 0 % or 100 %: perhaps another instance type fits better."
    source = "AWS built-in rule OverallSystemUsage"
    needs = "profiler=true"

    _hosts: dict[str, dict[str, _Values]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(_Values))
    )

    def see(self, record: Record) -> Iterator[Fired]:
        """Store the samples of hosts."""
        if isinstance(record, records.System):
            self.datapoints += 1
            for name, value in record.values.items():
                self._hosts[record.host][name].add(value)
        yield from ()

    def details(self) -> Mapping[str, Any]:
        """Return the figures, by host and metric."""
        return {
            host: {name: values.figures() for name, values in metrics.items()}
            for host, metrics in self._hosts.items()
        }


@dataclass(eq=False)
class OverallFrameworkMetrics(Rule):
    """Reports where the time of each process went. Never fires.

    `outside` is what AWS calls "others": the time of the loop without TRAIN and EVAL steps.
    """

    kind = "profiler"
    sees = (records.Start, records.Step, records.Phase, records.End)
    description = "Where the job's time went."
    advice = (
        "Time of the loop that is neither TRAIN nor EVAL is lost: check whether it is data_wait, "
        "checkpoint or other."
    )
    source = "AWS built-in rule OverallFrameworkMetrics"
    needs = "training steps, and profiler=true"

    _timelines: dict[str, Timeline] = field(default_factory=lambda: defaultdict(Timeline))

    def see(self, record: Record) -> Iterator[Fired]:
        """Add steps and phases to the timelines."""
        if isinstance(record, records.Step):
            self.datapoints += 1
        if isinstance(record, records.Step | records.Phase | records.Start | records.End):
            self._timelines[f"{record.host}-{record.rank}"].add(record)
        yield from ()

    def details(self) -> Mapping[str, Any]:
        """Return seconds and percentages of the loop, for each process."""
        tables = {}
        for process, timeline in self._timelines.items():
            split = timeline.split()
            inside = ("train", "evaluation", "outside", "data_wait", "checkpoint", "other")
            figures = split.figures()
            loop = split.loop or 1.0
            percent = {name: 100 * figures[name] / loop for name in inside}
            tables[process] = {"seconds": figures, "percent_of_loop": percent}
        return tables


@dataclass(eq=False)
class ProfilerReport(Rule):
    """Contains the results of all other profiler rules, in AWS's schema. Never fires."""

    kind = "profiler"
    description = "The results of all profiler rules."
    advice = "Check the rules that fired, most often first."
    source = "AWS built-in rule ProfilerReport"
    needs = "profiler=true"

    rules: list[Rule] = field(default_factory=list)

    def see(self, record: Record) -> Iterator[Fired]:  # noqa: ARG002
        """Check nothing: the other rules do."""
        self.datapoints += 1
        yield from ()

    def details(self) -> Mapping[str, Any]:
        """Return the results of the other rules, most often triggered first."""
        rules = sorted(self.rules, key=lambda rule: -rule.times)
        return {type(rule).__name__: rule.result().to_aws() for rule in rules}
