"""Rules over growing memory."""

from collections import defaultdict, deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from debugger.records import End, Fired, Phase, Record, Step, System
from debugger.rules.profiler.windows import NEEDS, SystemRule, gpus
from debugger.rules.rule import Rule, RuleParameters

GIB = 1 << 30


@dataclass(eq=False)
class GPUMemoryIncrease(SystemRule):
    """Fires when the moving average of a GPU's memory has grown by over `increase` points.

    The average is over `window` samples; the first `patience` samples do not count. It is compared
    with the smallest average since the start or the last firing, so slow growth counts too.
    """

    class Parameters(RuleParameters):
        increase: float = 5.0
        patience: int = 1000
        window: int = 10

    description = "GPU memory grows while the job runs."
    advice = (
        "Look for tensors that you store across steps together with their graph, such as losses in "
        "a list: store loss.detach(). A single increase may be the first evaluation."
    )
    source = "AWS built-in rule GPUMemoryIncrease: average up > 5, patience 1000, window 10"
    needs = NEEDS

    def __post_init__(self) -> None:
        """Create the windows."""
        super().__post_init__()
        size = self.parameters.window
        self._windows: dict[tuple[str, str], deque[float]] = defaultdict(lambda: deque(maxlen=size))
        self._least: dict[tuple[str, str], float] = {}

    def see(self, record: Record) -> Iterator[Fired]:
        """Check the memory of GPUs."""
        if not isinstance(record, System) or not self.ready(record):
            return
        for gpu, value in gpus(record, "gpu_memory").items():
            key = (record.host, gpu)
            window = self._windows[key]
            window.append(value)
            if len(window) < self.parameters.window:
                continue
            mean = sum(window) / len(window)
            least = self._least[key] = min(mean, self._least.get(key, mean))
            if mean - least > self.parameters.increase:
                text = f"memory of GPU {gpu} rose from {least:.0f} % to {mean:.0f} %"
                yield self.fire(record, -1, text, gpu=gpu, before=least, now=mean)
                self._least[key] = mean


@dataclass
class _Series:
    """The samples of one phase with one number of processes."""

    samples: int = 0
    window: list[float] = field(default_factory=list)
    floors: list[float] = field(default_factory=list)  # minimums of windows, while they rise


@dataclass
class _Host:
    """A host's samples; the phase of those in `waiting` is not known yet."""

    waiting: list[System] = field(default_factory=list)
    series: dict[tuple[str, float | None], _Series] = field(default_factory=dict)


@dataclass(eq=False)
class MemoryIncrease(Rule):
    """Fires when the memory of the job's processes keeps growing within a phase of the job.

    Samples are compared with samples of the same phase (training, evaluation, features) and with
    the same number of processes: loading workers that come and go between passes are no growth.
    After the first `patience` samples of such a series, the rule takes the minimum of every
    `window` samples, so memory that is freed again does not count. It fires when the minimum rose
    `rises` times in a row, by over `increase` percent in total. AWS has no such rule.
    """

    class Parameters(RuleParameters):
        increase: float = 10.0
        rises: int = 5
        patience: int = 120
        window: int = 60

    kind = "profiler"
    sees = (System, Step, Phase, End)
    description = "The memory of the job on the host keeps growing: a long job will be killed."
    advice = (
        "Look for lists that grow with the steps: losses or outputs that hold their graph, caches "
        "of pictures. Check the loop and the data set; each worker has a copy of the data set."
    )
    source = "Kennel, no AWS rule"
    needs = "profiler=true, and 420 samples of a phase (3.5 minutes at 0.5 s)"

    _hosts: dict[str, _Host] = field(default_factory=lambda: defaultdict(_Host))

    def see(self, record: Record) -> Iterator[Fired]:
        """Check the resident memory of the job's processes once its phase is known."""
        host = self._hosts[record.host]
        if isinstance(record, System):
            if "process_memory" in record.values:
                host.waiting.append(record)
            if len(host.waiting) > self.parameters.window:  # a long phase without steps
                yield from self._place(host, "other", float("-inf"))
        elif isinstance(record, Step):
            yield from self._place(host, record.mode, record.start)
        elif isinstance(record, Phase):
            yield from self._place(host, record.name, record.start)
        else:
            yield from self._place(host, "other", float("-inf"))

    def _place(self, host: _Host, phase: str, since: float) -> Iterator[Fired]:
        waiting, host.waiting = host.waiting, []
        for sample in waiting:
            name = phase if sample.at >= since else "other"
            key = (name, sample.values.get("processes"))
            yield from self._check(sample, host.series.setdefault(key, _Series()))

    def _check(self, record: System, series: _Series) -> Iterator[Fired]:
        series.samples += 1
        if series.samples <= self.parameters.patience:
            return
        self.datapoints += 1
        series.window.append(record.values["process_memory"])
        if len(series.window) < self.parameters.window:
            return
        floor, series.window = min(series.window), []
        if series.floors and floor <= series.floors[-1]:
            series.floors = []
        series.floors.append(floor)
        first = series.floors[0]
        grown = 100 * (floor / first - 1) if first else 0.0
        if len(series.floors) > self.parameters.rises and grown > self.parameters.increase:
            text = f"the job's memory rose from {first / GIB:.2f} to {floor / GIB:.2f} GiB"
            yield self.fire(record, -1, text, before=first, now=floor, percent=grown)
            series.floors = [floor]

    def details(self) -> Mapping[str, Any]:
        """Return the largest minimum of each host, in bytes."""
        floors = {
            name: [floor for series in host.series.values() for floor in series.floors]
            for name, host in self._hosts.items()
        }
        return {"bytes": {name: max(found) for name, found in floors.items() if found}}
