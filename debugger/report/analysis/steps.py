"""Facts about training steps: their durations, and what was different in the slowest ones."""

import itertools
from collections import Counter

import numpy as np

from debugger.records import STEP_PHASES, Phase, Step
from debugger.report import facts
from debugger.report.analysis.gathering import Gathered, Process, label
from debugger.report.wording import unit

_LISTED = 25
_BARS = 48
# A system metric is unusual if it is this many robust standard deviations from its median.
_UNUSUAL = 4.0


def distribution(values: "np.ndarray | list[float]") -> facts.Distribution:
    """Return the statistics of values (at least one)."""
    given = np.asarray(values, dtype=np.float64)
    p50, p95, p99 = np.percentile(given, (50, 95, 99))
    return facts.Distribution(
        count=given.size,
        mean=float(given.mean()),
        std=float(given.std()),
        min=float(given.min()),
        p50=float(p50),
        p95=float(p95),
        p99=float(p99),
        max=float(given.max()),
    )


def find(gathered: Gathered, deviations: float) -> facts.Steps | None:
    """Return the facts about training steps; None if there are none.

    Args:
        gathered: the recording.
        deviations: a step is an outlier if it takes this many standard deviations longer than
            the mean of its process.
    """
    if not gathered.steps:
        return None
    seconds = np.array([step.seconds for step in gathered.steps])
    outliers = []
    costs: list[float] = []
    usage = _Usage(gathered)
    thresholds = []
    for process, steps in gathered.by_process().items():
        took = np.array([step.seconds for step in steps])
        threshold = float(took.mean() + deviations * took.std())
        thresholds.append(threshold)
        usual = {name: _median([s.took(name) for s in steps]) for name in STEP_PHASES}
        context = _Context(gathered, process, steps)
        far = np.flatnonzero(took > threshold)
        costs.append(float((took[far] - took.mean()).sum()))
        outliers += [_outlier(steps[i], usual, usage, context, int(i)) for i in far]
    outliers.sort(key=lambda item: -item.seconds)
    busy = sum(step.seconds for step in gathered.of_main_process(gathered.steps))
    pictures = sum(step.size for step in gathered.steps)
    return facts.Steps(
        durations=distribution(seconds),
        phases={
            name: distribution(found)
            for name in STEP_PHASES
            if any(found := [step.took(name) for step in gathered.steps])
        },
        histogram=histogram(seconds),
        pictures_per_second=pictures / busy if busy else 0.0,
        outlier_threshold=max(thresholds),
        outlier_count=len(outliers),
        outlier_seconds=max(costs),
        outliers=outliers[:_LISTED],
        outlier_every=_period([item.step for item in outliers]),
    )


def histogram(values: np.ndarray) -> list[facts.Bin]:
    """Return bins of equal width; of equal ratio if the maximum is over 5 times the median."""
    low, high = float(values.min()), float(values.max())
    if high <= low:
        return [facts.Bin(low=low, high=high, count=values.size)]
    wide = low > 0 and high > 5 * float(np.median(values))
    edges = np.geomspace(low, high, _BARS + 1) if wide else np.linspace(low, high, _BARS + 1)
    edges[0], edges[-1] = low, high
    counts, _ = np.histogram(values, edges)
    return [
        facts.Bin(low=float(edges[i]), high=float(edges[i + 1]), count=int(counts[i]))
        for i in range(_BARS)
    ]


def _outlier(
    step: Step, usual: dict[str, float], usage: "_Usage", context: "_Context", index: int
) -> facts.Outlier:
    longer = [
        facts.Longer(phase=name, seconds=step.took(name), usual=usual[name]) for name in STEP_PHASES
    ]
    accounted = sum(step.took(name) for name in STEP_PHASES)
    rest = facts.Longer(
        phase="other", seconds=max(step.seconds - accounted, 0.0), usual=context.usual_rest
    )
    longer = sorted([*longer, rest], key=lambda item: item.usual - item.seconds)
    excess = max(longer[0].seconds - longer[0].usual, 1e-9)
    return facts.Outlier(
        process=label(step.host, step.rank),
        at=step.at,
        step=step.step,
        epoch=step.epoch,
        seconds=step.seconds,
        longer=[item for item in longer if item.seconds - item.usual > 0.1 * excess][:3],
        system=usage.unusual(step),
        beside=context.of(step, index),
    )


class _Usage:
    """The system metrics of each host, to compare a step with the whole job."""

    def __init__(self, gathered: Gathered) -> None:
        self._at: dict[str, np.ndarray] = {}
        self._values: dict[str, dict[str, np.ndarray]] = {}
        for host in {item.host for item in gathered.systems}:
            samples = [item for item in gathered.systems if item.host == host]
            names = {
                name for item in samples for name in item.values if not name.startswith("cpu/")
            }
            self._at[host] = np.array([item.at for item in samples])
            self._values[host] = {
                name: np.array([item.values.get(name, np.nan) for item in samples])
                for name in sorted(names)
            }
        self._usual = {
            (host, name): _middle_and_spread(values)
            for host, by_name in self._values.items()
            for name, values in by_name.items()
        }

    def unusual(self, step: Step) -> list[facts.Unusual]:
        at = self._at.get(step.host)
        if at is None:
            return []
        first, last = np.searchsorted(at, (step.start, step.at))
        if first == last:  # no sample during the step: take the next one
            first, last = min(first, at.size - 1), min(first, at.size - 1) + 1
        found = []
        for name, values in self._values[step.host].items():
            inside = values[first:last]
            if np.isnan(inside).all():
                continue
            value = float(np.nanmean(inside))
            usual, spread = self._usual[step.host, name]
            # A small change of a metric that is almost constant is not unusual.
            far = abs(value - usual) / max(spread, 0.02 * abs(usual), _least(name))
            if far > _UNUSUAL:
                found.append((far, facts.Unusual(name=name, value=value, usual=usual)))
        found.sort(key=lambda pair: -pair[0])
        return [item for _, item in found[:3]]


def _middle_and_spread(values: np.ndarray) -> tuple[float, float]:
    median = float(np.nanmedian(values))
    return median, 1.4826 * float(np.nanmedian(np.abs(values - median)))


def _least(name: str) -> float:
    """Return the smallest spread that matters: 2 %, 1 MiB/s, 16 MiB."""
    kind = unit(name)
    return 2.0 if kind == "%" else 2.0**20 if kind == "bytes/s" else 2.0**24


class _Context:
    """What else happened during the steps of a process."""

    def __init__(self, gathered: Gathered, process: Process, steps: list[Step]) -> None:
        self._steps = steps
        self._phases = [item for item in gathered.phases if (item.host, item.rank) == process]
        self._windows = [
            range(item.step, item.step + item.steps)
            for item in gathered.operators
            if (item.host, item.rank) == process
        ]
        self._recorded = gathered.tensor_steps
        self._starts = [
            item.process_started for item in gathered.starts if (item.host, item.rank) == process
        ]
        rests = [s.seconds - sum(s.took(name) for name in STEP_PHASES) for s in steps]
        self.usual_rest = max(_median(rests), 0.0)

    def of(self, step: Step, index: int) -> list[str]:
        before = self._steps[index - 1] if index else None
        found = []
        if before is None:
            found.append("first step of the job")
        elif any(before.at < item <= step.at for item in self._starts):
            found.append("first step after a restart")
        elif before.epoch != step.epoch:
            found.append("first step of its epoch")
        found += [f"an {name}" if name[0] == "e" else f"a {name}" for name in self._around(step)]
        if any(step.step in window for window in self._windows):
            found.append("in the profiler's window")
        if step.step in self._recorded and len(self._recorded) < len(self._steps) / 2:
            found.append("its tensors were recorded")
        return found

    def _around(self, step: Step) -> list[str]:
        over: list[Phase] = [
            item
            for item in self._phases
            if item.start < step.at and item.at > step.start and item.name != "initialisation"
        ]
        return sorted({item.name for item in over})


def _period(steps: list[int]) -> int | None:
    """Return the number of steps between most outliers; None if it varies."""
    ordered = sorted(set(steps))
    if len(ordered) < 4:
        return None
    gaps = Counter(b - a for a, b in itertools.pairwise(ordered))
    gap, count = gaps.most_common(1)[0]
    return gap if gap > 1 and count >= 0.6 * (len(ordered) - 1) else None


def _median(values: list[float]) -> float:
    return float(np.median(values)) if values else 0.0
