"""Rules over whether the job gets on at all."""

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
    """Fires when nothing came of a process for `threshold` seconds: no step, phase or figure.

    While the job runs, the samples of the host tell the time. One standstill fires once.
    """

    class Parameters(RuleParameters):
        threshold: float = 1800.0

    kind = "tensor"
    description = "Training stands still."
    advice = (
        "Look at the log's last lines and at disk and network in the report: the loader may wait "
        'for a file system, or a process for the others. {"StalledTraining": {"action": "stop"}} '
        "ends such a job."
    )
    source = "AWS built-in rule StalledTrainingRule: 1,800 s"
    needs = "training steps"

    _moved: dict[Process, float] = field(default_factory=dict)
    _stalled: set[Process] = field(default_factory=set)

    def see(self, record: Record) -> Iterator[Fired]:
        """Look at the time of every record."""
        who = (record.host, record.rank)
        if isinstance(record, records.Start):
            self._moved[who] = record.at
            return
        since = record.at - self._moved.setdefault(who, record.at)
        if since > self.parameters.threshold and who not in self._stalled:
            self._stalled.add(who)
            text = f"nothing happened for {since:,.0f} s"
            yield self.fire(record, getattr(record, "step", -1), text, seconds=since)
        if not isinstance(record, records.System | records.Note | records.Fired):
            self.datapoints += 1
            self._moved[who] = record.at
            self._stalled.discard(who)


@dataclass(eq=False)
class MaxInitializationTime(Rule):
    """Fires when a process takes over `threshold` minutes from its start to its first step."""

    class Parameters(RuleParameters):
        threshold: float = 20.0

    kind = "profiler"
    sees = (records.Start, records.Phase, records.Step)
    description = "The job takes long to begin: what is paid for does not train."
    advice = (
        "Look at what comes before the first step: the download of data (FastFile or Pipe mode "
        "rather than File), of packages and weights, and compilation."
    )
    source = "AWS built-in rule MaxInitializationTime: 20 minutes"
    needs = "training steps"

    _timelines: dict[Process, Timeline] = field(default_factory=dict)
    _seconds: dict[str, float] = field(default_factory=dict)

    def see(self, record: Record) -> Iterator[Fired]:
        """Look at what comes before a process's first step."""
        who = (record.host, record.rank)
        if isinstance(record, records.Start):
            self._timelines[who] = Timeline()
        timeline = self._timelines.get(who)
        if timeline is None:
            return
        timeline.see(record)
        if not isinstance(record, records.Step):
            return
        del self._timelines[who]
        seconds = timeline.split().initialisation
        self.datapoints += 1
        self._seconds["{}-{}".format(*who)] = seconds
        if seconds > 60 * self.parameters.threshold:
            text = f"initialisation took {seconds:,.1f} s"
            yield self.fire(record, record.step, text, seconds=seconds)

    def details(self) -> Mapping[str, Any]:
        """Return the seconds of each process."""
        return {"initialisation_seconds": self._seconds}
