"""The rule over jobs that hang."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from debugger import records
from debugger.records import Fired, Record
from debugger.rules.rule import Rule, RuleParameters


@dataclass(eq=False)
class StalledTraining(Rule):
    """Fires when a process recorded no step, phase or metric for `threshold` seconds.

    While the job runs, the samples of the host show how much time has passed. The rule fires once
    for each stop.
    """

    class Parameters(RuleParameters):
        threshold: float = 1800.0

    kind = "tensor"
    description = "Training has stopped making progress."
    advice = (
        "Read the last lines of the log, and disk and network in the report: perhaps the loader "
        "waits for a file system, or a process waits for the others. To end such a job "
        'automatically, set {"StalledTraining": {"action": "stop"}}.'
    )
    source = "AWS built-in rule StalledTrainingRule: 1,800 s"
    needs = "training steps"

    _moved: dict[tuple[str, int], float] = field(default_factory=dict)
    _stalled: set[tuple[str, int]] = field(default_factory=set)

    def see(self, record: Record) -> Iterator[Fired]:
        """Check the time of every record."""
        process = (record.host, record.rank)
        if isinstance(record, records.Start):
            self._moved[process] = record.at
            return
        since = record.at - self._moved.setdefault(process, record.at)
        if since > self.parameters.threshold and process not in self._stalled:
            self._stalled.add(process)
            text = f"no progress for {since:,.0f} s"
            yield self.fire(record, getattr(record, "step", -1), text, seconds=since)
        if not isinstance(record, records.System | records.Note | records.Fired):
            self.datapoints += 1
            self._moved[process] = record.at
            self._stalled.discard(process)
