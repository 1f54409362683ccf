"""The rule over slow starts."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from debugger import records
from debugger.records import Fired, Record
from debugger.rules.rule import Rule, RuleParameters
from debugger.timeline import Timeline


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

    def advise(self) -> str:
        """Leave out the input mode if nothing is downloaded first."""
        modes = self.about.get("input_modes") or ["File"]
        hint = " (use FastFile or Pipe mode instead of File)"
        return self.advice if "File" in modes else self.advice.replace(hint, "")

    source = "AWS built-in rule MaxInitializationTime: 20 minutes"
    needs = "training steps"

    _timelines: dict[tuple[str, int], Timeline] = field(default_factory=dict)
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
