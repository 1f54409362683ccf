"""Rules over slow starts and jobs that hang."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from debugger import records
from debugger.records import Fired, Record
from debugger.rules.rule import Rule, RuleParameters
from debugger.timeline import Timeline

Process = tuple[str, int]


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

    _moved: dict[Process, float] = field(default_factory=dict)
    _stalled: set[Process] = field(default_factory=set)

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


@dataclass(eq=False)
class MaxInitializationTime(Rule):
    """Fires when a process takes over `threshold` minutes from its start to its first step."""

    class Parameters(RuleParameters):
        threshold: float = 20.0

    kind = "profiler"
    sees = (records.Start, records.Phase, records.Step)
    description = "The job takes a long time to start: you pay for time without training."
    advice = (
        "Check what happens before the first step: download of data (use FastFile or Pipe mode "
        "instead of File), packages and weights; compilation."
    )
    source = "AWS built-in rule MaxInitializationTime: 20 minutes"
    needs = "training steps"

    _timelines: dict[Process, Timeline] = field(default_factory=dict)
    _seconds: dict[str, float] = field(default_factory=dict)

    def see(self, record: Record) -> Iterator[Fired]:
        """Measure the time before the first step of a process."""
        process = (record.host, record.rank)
        if isinstance(record, records.Start):
            self._timelines[process] = Timeline()
        timeline = self._timelines.get(process)
        if timeline is None:
            return
        timeline.add(record)
        if not isinstance(record, records.Step):
            return
        del self._timelines[process]
        seconds = timeline.split().initialisation
        self.datapoints += 1
        self._seconds["{}-{}".format(*process)] = seconds
        if seconds > 60 * self.parameters.threshold:
            text = f"initialisation took {seconds:,.1f} s"
            yield self.fire(record, record.step, text, seconds=seconds)

    def details(self) -> Mapping[str, Any]:
        """Return the initialisation time of each process, in seconds."""
        return {"initialisation_seconds": self._seconds}
