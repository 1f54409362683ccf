"""The rule over steps that take much longer than others."""

import heapq
from array import array
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from debugger import records
from debugger.records import Fired, Record, Step
from debugger.rules.profiler.windows import SCAN_US, Scans
from debugger.rules.rule import Rule, RuleParameters

_STORED = 100  # longest steps of a process and mode, stored with all details
_FEWEST = 100  # steps that must exist before any counts as an outlier
Key = tuple[str, int, str]  # host, rank, mode


@dataclass
class _Steps:
    """The steps of one process and mode."""

    numbers: "array[int]" = field(default_factory=lambda: array("q"))
    seconds: "array[float]" = field(default_factory=lambda: array("d"))
    spans: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    longest: list[tuple[float, int, Step, Mapping[str, float]]] = field(default_factory=list)
    profiled: set[int] = field(default_factory=set)

    def add(self, step: Step, system: Mapping[str, float]) -> None:
        self.numbers.append(step.step)
        self.seconds.append(step.seconds)
        for name, seconds in _parts(step).items():
            self.spans[name] += seconds
        known = (step.seconds, len(self.numbers), step, system)
        if len(self.longest) < _STORED:
            heapq.heappush(self.longest, known)
        else:
            heapq.heappushpop(self.longest, known)

    def bounds(self, stddev: float) -> tuple[float, float, int]:
        """Return the mean, the limit for outliers, and the number of outliers."""
        seconds = np.asarray(self.seconds)
        if self.profiled:
            seconds = seconds[~np.isin(np.asarray(self.numbers), list(self.profiled))]
        if not len(seconds):
            return 0.0, 0.0, 0
        mean = float(seconds.mean())
        limit = mean + stddev * float(seconds.std())
        return mean, limit, int((seconds > limit).sum())

    def outliers(self, limit: float) -> Iterator[dict[str, Any]]:
        """Yield the stored steps over `limit`, in order, each with the phase that took longer."""
        known = sorted(self.longest, key=lambda item: item[1])
        for seconds, _, step, system in known:
            if seconds <= limit or step.step in self.profiled:
                continue
            means = {name: item / len(self.numbers) for name, item in self.spans.items()}
            longer = {name: item - means[name] for name, item in _parts(step).items()}
            span = max(longer, key=lambda name: longer[name])
            yield {
                "step": step.step,
                "epoch": step.epoch,
                "mode": step.mode,
                "start": step.start,
                "seconds": seconds,
                "longer": span,
                "longer_by": longer[span],
                "system": dict(system),
                "host": step.host,
                "rank": step.rank,
            }


def _parts(step: Step) -> dict[str, float]:
    """Return the seconds of a step by phase; the remaining time is `other`."""
    names = {span.name for span in step.spans} - {records.RECORDING}
    parts = {name: step.took(name) for name in names}  # a phase can occur several times in a step
    return parts | {"other": step.seconds - sum(parts.values())}


@dataclass(eq=False)
class StepOutlier(Rule):
    """Fires at each scan while many steps took much longer than the mean.

    An outlier takes over `stddev` standard deviations more than the mean of its process and mode.
    The rule fires when there are more than `n_outliers` outliers in over 100 steps. `mode` limits
    it to "train" or "eval". A scan happens every `scan_interval_us` microseconds (by the time in
    the records), and at the end of the job. Two kinds of steps do not count: the first step of a
    process, which starts workers and selects kernels, and steps under torch.profiler.
    """

    class Parameters(RuleParameters):
        stddev: float = 3.0
        mode: Literal["train", "eval"] | None = None
        n_outliers: int = 10
        scan_interval_us: int = SCAN_US

    kind = "profiler"
    sees = (records.Start, records.Step, records.System, records.Operators, records.End)
    description = "Some steps take much longer than others."
    advice = (
        "Check in the list of outliers which phase took longer. data_wait: the loader or its "
        "storage; forward: pictures of different sizes; other: work that the loop does sometimes "
        "(logging, checkpoints). If the host was busy then, check what else runs on it."
    )
    source = "AWS built-in rule StepOutlier: 3 standard deviations, 10 outliers, 100 steps"
    needs = "more than 100 steps of a mode, and profiler=true"

    _steps: dict[Key, _Steps] = field(default_factory=lambda: defaultdict(_Steps))
    _fresh: set[Key] = field(default_factory=set)  # no step since this start yet
    _system: dict[str, Mapping[str, float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Set the scan interval."""
        self._scans = Scans(self.parameters.scan_interval_us / 1e6)

    def see(self, record: Record) -> Iterator[Fired]:
        """Check steps; store the last sample of each host for the details."""
        if isinstance(record, Step):
            yield from self._step(record)
        elif isinstance(record, records.System):
            self._system[record.host] = record.values
        elif isinstance(record, records.Operators):
            key = (record.host, record.rank, "train")
            # The step after the window can include the processing of the trace.
            self._steps[key].profiled.update(range(record.step, record.step + record.steps + 1))
        elif isinstance(record, records.Start):
            for mode in ("train", "eval"):
                key = (record.host, record.rank, mode)
                self._fresh.add(key)
                self._scans.due(record.at, key)
        elif isinstance(record, records.End):
            for mode in ("train", "eval"):
                yield from self._scan(record, (record.host, record.rank, mode))

    def _step(self, step: Step) -> Iterator[Fired]:
        key = (step.host, step.rank, step.mode)
        if self.parameters.mode not in (None, step.mode):
            return
        if key in self._fresh:
            self._fresh.discard(key)
            return
        self.datapoints += 1
        self._steps[key].add(step, self._system.get(step.host, {}))
        if self._scans.due(step.at, key):
            yield from self._scan(step, key)

    def _scan(self, record: Record, key: Key) -> Iterator[Fired]:
        steps = self._steps.get(key)
        if steps is None or len(steps.numbers) <= _FEWEST:
            return
        mean, limit, count = steps.bounds(self.parameters.stddev)
        if count > self.parameters.n_outliers:
            mode = key[2]
            yield self.fire(
                record,
                steps.numbers[-1],
                f"{count} of {len(steps.numbers)} {mode} steps took over {limit:.3g} s; "
                f"the mean is {mean:.3g} s",
                mode=mode,
                outliers=count,
                steps=len(steps.numbers),
                mean=mean,
                limit=limit,
            )

    def details(self) -> Mapping[str, Any]:
        """Return figures and the longest outliers for each process and mode."""
        tables = []
        for (host, rank, mode), steps in self._steps.items():
            if not steps.numbers:
                continue
            mean, limit, count = steps.bounds(self.parameters.stddev)
            tables.append(
                {
                    "host": host,
                    "rank": rank,
                    "mode": mode,
                    "steps": len(steps.numbers),
                    "mean": mean,
                    "limit": limit,
                    "outliers": count,
                    "longest": list(steps.outliers(limit)),
                }
            )
        return {"steps": tables}
