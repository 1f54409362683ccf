"""The rule over data loading."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from debugger import records
from debugger.records import DATA_WAIT, Fired, Record
from debugger.rules.profiler.windows import SCAN_US, Scans
from debugger.rules.rule import Rule, RuleParameters, either


@dataclass
class _Process:
    workers: int | None = None
    cores: int | None = None
    steps: int = 0
    waited: float = 0.0
    seconds: float = 0.0


@dataclass(eq=False)
class Dataloader(Rule):
    """Fires at a scan when steps wait for data, or when there are too many decoding workers.

    Steps wait if the data wait is over `max_wait` percent of the time of training steps (without
    the first step of a process). The finding names the number of workers if there are fewer than
    `min_threshold` percent of the cores. Too many workers are over `max_threshold` percent of the
    cores. A scan happens every `scan_interval_us` microseconds. AWS checks the number of workers
    only; but a few workers are enough if no step waits.
    """

    class Parameters(RuleParameters):
        min_threshold: float = 70.0
        max_threshold: float = 200.0
        max_wait: float = 25.0
        scan_interval_us: int = SCAN_US

    kind = "profiler"
    sees = (records.Start, records.Step, records.End)
    description = "Training waits until pictures are decoded, or there are too many workers."
    advice = (
        "Raise `workers` up to the number of cores. If that is not enough, store smaller pictures, "
        "use a cheaper augmentation (`augment`) or faster storage. More workers than twice the "
        "cores only use memory."
    )
    source = "AWS built-in rule Dataloader: workers below 70 % or above 200 % of the cores"
    needs = "training steps, and profiler=true"

    _processes: dict[tuple[str, int], _Process] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Set the scan interval."""
        self._scans = Scans(self.parameters.scan_interval_us / 1e6)

    def advise(self) -> str:
        """Leave out more workers if there are enough, and cheaper augmentation if there is none."""
        known = [item for item in self._processes.values() if item.workers and item.cores]
        parts = []
        if any((item.workers or 0) > 2 * (item.cores or 1) for item in known):
            parts.append("Lower `workers`: more than twice the cores only use memory.")
        elif not known or any((item.workers or 0) < (item.cores or 0) for item in known):
            parts.append("Raise `workers` up to the number of cores.")
        cheaper = "" if self.setting("augment") == "none" else "use a cheaper `augment`"
        more = either("store smaller pictures", cheaper, "use faster storage or more cores")
        parts.append(f"If that is not enough, {more}." if parts else f"{more.capitalize()}.")
        return " ".join(parts)

    def see(self, record: Record) -> Iterator[Fired]:
        """Check the data wait of steps."""
        key = (record.host, record.rank)
        if isinstance(record, records.Start):
            facts = record.facts
            self._processes[key] = _Process(facts.get("workers"), facts.get("cores"))
            self._scans.due(record.at, key)
        elif isinstance(record, records.Step) and record.mode == "train":
            process = self._processes.setdefault(key, _Process())
            process.steps += 1
            if process.steps > 1:
                self.datapoints += 1
                process.waited += record.took(DATA_WAIT)
                process.seconds += record.seconds
            if self._scans.due(record.at, key):
                yield from self._judge(record, process)
        elif isinstance(record, records.End) and key in self._processes:
            yield from self._judge(record, self._processes[key])

    def _judge(self, record: Record, process: _Process) -> Iterator[Fired]:
        workers, cores = process.workers, process.cores
        share = 100 * workers / cores if workers is not None and cores else None
        evidence = {"workers": workers, "cores": cores}
        if share is not None and share > self.parameters.max_threshold:
            text = f"{workers} workers for {cores} cores"
            yield self.fire(record, process.steps, text, **evidence)
        wait = 100 * process.waited / process.seconds if process.seconds else 0.0
        if wait > self.parameters.max_wait:
            too_few = share is not None and share < self.parameters.min_threshold
            text = f"steps waited for data {wait:.0f} % of the time"
            text += f", with {workers} workers for {cores} cores" if too_few else ""
            yield self.fire(record, process.steps, text, wait_percent=wait, **evidence)

    def details(self) -> Mapping[str, Any]:
        """Return workers, cores and data wait of each process."""
        return {
            "processes": [
                {
                    "host": host,
                    "rank": rank,
                    "workers": item.workers,
                    "cores": item.cores,
                    "steps": item.steps,
                    "wait_percent": 100 * item.waited / item.seconds if item.seconds else 0.0,
                }
                for (host, rank), item in self._processes.items()
            ]
        }
