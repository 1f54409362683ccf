"""Steps that take much longer than the others, and what was different about them."""

import heapq
from array import array
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from debugger import records
from debugger.records import Fired, Record, Step
from debugger.rules.rule import Rule, RuleParameters
from debugger.rules.windows import SCAN_US, Scans

_KEPT = 100  # of the longest steps of a process and mode, with all that is known of them
_FEWEST = 100  # steps, before any counts as an outlier
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
        if len(self.longest) < _KEPT:
            heapq.heappush(self.longest, known)
        else:
            heapq.heappushpop(self.longest, known)

    def bounds(self, stddev: float) -> tuple[float, float, int]:
        """Return mean, the seconds from which on a step is an outlier, and how many are."""
        seconds = np.asarray(self.seconds)
        if self.profiled:
            seconds = seconds[~np.isin(np.asarray(self.numbers), list(self.profiled))]
        if not len(seconds):
            return 0.0, 0.0, 0
        mean = float(seconds.mean())
        limit = mean + stddev * float(seconds.std())
        return mean, limit, int((seconds > limit).sum())

    def outliers(self, limit: float) -> Iterator[dict[str, Any]]:
        """Yield the longest steps over `limit`, in order, each with what took longer in it."""
        known = sorted(self.longest, key=lambda one: one[1])
        for seconds, _, step, system in known:
            if seconds <= limit or step.step in self.profiled:
                continue
            means = {name: one / len(self.numbers) for name, one in self.spans.items()}
            longer = {name: one - means[name] for name, one in _parts(step).items()}
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
    """Return a step's seconds by phase, the rest as `other`."""
    names = {span.name for span in step.spans} - {records.RECORDING}
    parts = {name: step.took(name) for name in names}  # a step in parts has a phase several times
    return parts | {"other": step.seconds - sum(parts.values())}


@dataclass(eq=False)
class StepOutlier(Rule):
    """Fires at each scan while there are many steps that took much longer than the others.

    Counts, of each process and mode (`mode`: only that one), the steps that took over `stddev`
    standard deviations more than their mean, and fires when there are more than `n_outliers`, from
    100 steps on. A scan is every `scan_interval_us` by the records' clock, and at the job's end.
    Not counted are a process's first step, which starts workers and chooses kernels, and those
    that torch.profiler watched.
    """

    class Parameters(RuleParameters):
        stddev: float = 3.0
        mode: Literal["train", "eval"] | None = None
        n_outliers: int = 10
        scan_interval_us: int = SCAN_US

    kind = "profiler"
    sees = (records.Start, records.Step, records.System, records.Operators, records.End)
    description = "Some steps take much longer than the others."
    advice = (
        "See in the list of outliers which phase was longer: data_wait points to the loader or its "
        "storage, forward to pictures of other sizes, other to what the loop does now and then "
        "(logging, checkpoints). If the host was busy at that time, look for what else runs there."
    )
    source = "AWS built-in rule StepOutlier: 3 standard deviations, 10 outliers, 100 steps"
    needs = "more than 100 steps of a mode, and profiler=on"

    _steps: dict[Key, _Steps] = field(default_factory=lambda: defaultdict(_Steps))
    _fresh: set[Key] = field(default_factory=set)  # no step of this start was seen yet
    _system: dict[str, Mapping[str, float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Set the clock of the scans."""
        self._scans = Scans(self.parameters.scan_interval_us / 1e6)

    def see(self, record: Record) -> Iterator[Fired]:
        """Look at steps, and at samples of the host around them."""
        if isinstance(record, Step):
            yield from self._step(record)
        elif isinstance(record, records.System):
            self._system[record.host] = record.values
        elif isinstance(record, records.Operators):
            key = (record.host, record.rank, "train")
            # The step after the window may hold its processing.
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
        """Return, of each process and mode, its figures and its longest outliers."""
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
