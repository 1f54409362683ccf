"""Rules over growing memory."""

from collections import defaultdict, deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from debugger.records import Fired, Record, System
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
class _Host:
    samples: int = 0
    window: list[float] = field(default_factory=list)
    floors: list[float] = field(default_factory=list)  # minimums of windows, while they rise


@dataclass(eq=False)
class MemoryIncrease(Rule):
    """Fires when the memory of the job's processes keeps growing.

    After the first `patience` samples, the rule takes the minimum of every `window` samples, so
    memory that is freed again (such as that of decoding workers) does not count. It fires when the
    minimum rose `rises` times in a row, by over `increase` percent in total. AWS has no such rule.
    """

    class Parameters(RuleParameters):
        increase: float = 10.0
        rises: int = 5
        patience: int = 120
        window: int = 60

    kind = "profiler"
    sees = (System,)
    description = "The memory of the job on the host keeps growing: a long job will be killed."
    advice = (
        "Look for lists that grow with the steps: losses or outputs that hold their graph, caches "
        "of pictures. Check the loop and the data set; each worker has a copy of the data set."
    )
    source = "Kennel, no AWS rule"
    needs = "profiler=true, and 420 samples (3.5 minutes at 0.5 s)"

    _hosts: dict[str, _Host] = field(default_factory=lambda: defaultdict(_Host))

    def see(self, record: Record) -> Iterator[Fired]:
        """Check the resident memory of the job's processes."""
        if not isinstance(record, System) or "process_memory" not in record.values:
            return
        host = self._hosts[record.host]
        host.samples += 1
        if host.samples <= self.parameters.patience:
            return
        self.datapoints += 1
        host.window.append(record.values["process_memory"])
        if len(host.window) < self.parameters.window:
            return
        floor, host.window = min(host.window), []
        if host.floors and floor <= host.floors[-1]:
            host.floors = []
        host.floors.append(floor)
        first = host.floors[0]
        grown = 100 * (floor / first - 1) if first else 0.0
        if len(host.floors) > self.parameters.rises and grown > self.parameters.increase:
            text = f"the job's memory rose from {first / GIB:.2f} to {floor / GIB:.2f} GiB"
            yield self.fire(record, -1, text, before=first, now=floor, percent=grown)
            host.floors = [floor]

    def details(self) -> Mapping[str, Any]:
        """Return the largest minimum of each host, in bytes."""
        return {"bytes": {name: max(h.floors) for name, h in self._hosts.items() if h.floors}}
