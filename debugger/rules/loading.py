"""Rules over the loading of data."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from debugger import records
from debugger.records import DATA_WAIT, Fired, Record
from debugger.rules.rule import Rule, RuleParameters
from debugger.rules.windows import SCAN_US, Scans


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

    Waiting is over `max_wait` percent of the time of training steps, a process's first apart; it is
    told whether workers are fewer than `min_threshold` percent of the cores. Too many are over
    `max_threshold` percent of the cores. AWS goes by the number of workers alone; few are enough
    where nothing waits for them.
    """

    class Parameters(RuleParameters):
        min_threshold: float = 70.0
        max_threshold: float = 200.0
        max_wait: float = 25.0
        scan_interval_us: int = SCAN_US

    kind = "profiler"
    sees = (records.Start, records.Step, records.End)
    description = "Training waits for pictures to be read and decoded, or too many processes do so."
    advice = (
        "Raise `workers` while they are fewer than the cores; with enough of them, store smaller "
        "pictures, use a cheaper augmentation (`augment`) or faster storage. Workers beyond twice "
        "the cores only take memory."
    )
    source = "AWS built-in rule Dataloader: workers below 70 % or above 200 % of the cores"
    needs = "training steps, and profiler=on"

    _processes: dict[tuple[str, int], _Process] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Set the clock of the scans."""
        self._scans = Scans(self.parameters.scan_interval_us / 1e6)

    def see(self, record: Record) -> Iterator[Fired]:
        """Look at the data wait of steps."""
        who = (record.host, record.rank)
        if isinstance(record, records.Start):
            facts = record.facts
            self._processes[who] = _Process(facts.get("workers"), facts.get("cores"))
            self._scans.due(record.at, who)
        elif isinstance(record, records.Step) and record.mode == "train":
            process = self._processes.setdefault(who, _Process())
            process.steps += 1
            if process.steps > 1:
                self.datapoints += 1
                process.waited += record.took(DATA_WAIT)
                process.seconds += record.seconds
            if self._scans.due(record.at, who):
                yield from self._judge(record, process)
        elif isinstance(record, records.End) and who in self._processes:
            yield from self._judge(record, self._processes[who])

    def _judge(self, record: Record, process: _Process) -> Iterator[Fired]:
        workers, cores = process.workers, process.cores
        share = 100 * workers / cores if workers is not None and cores else None
        evidence = {"workers": workers, "cores": cores}
        if share is not None and share > self.parameters.max_threshold:
            text = f"{workers} workers for {cores} cores"
            yield self.fire(record, process.steps, text, **evidence)
        wait = 100 * process.waited / process.seconds if process.seconds else 0.0
        if wait > self.parameters.max_wait:
            few = share is not None and share < self.parameters.min_threshold
            text = f"steps waited for data {wait:.0f} % of the time"
            text += f", with {workers} workers for {cores} cores" if few else ""
            yield self.fire(record, process.steps, text, wait_percent=wait, **evidence)

    def details(self) -> Mapping[str, Any]:
        """Return workers, cores and the wait of each process."""
        return {
            "processes": [
                {
                    "host": host,
                    "rank": rank,
                    "workers": one.workers,
                    "cores": one.cores,
                    "steps": one.steps,
                    "wait_percent": 100 * one.waited / one.seconds if one.seconds else 0.0,
                }
                for (host, rank), one in self._processes.items()
            ]
        }
