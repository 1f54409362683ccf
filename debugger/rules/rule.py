"""What a rule is: it sees a job's records in order, fires, and tells at the end what it found."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict

from debugger.records import Fired, Record

Action = Literal["report", "log", "stop"]
SHOWN = 20  # of a rule's firings are kept, the earliest


class RuleParameters(BaseModel):
    """A rule's parameters with their defaults; unknown names and other types are refused.

    `action` is what a firing does while the job runs: it is recorded, also printed to the log, or
    also stops training.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    action: Action = "report"


@dataclass(frozen=True)
class Result:
    """What a rule found in a job.

    `status` is "fired", "quiet", or "no data" where the recording lacks what the rule looks at
    (`details` then says what it needs, or why the rule broke). `datapoints` counts what it looked
    at, `times` how often it fired, `first` holds the earliest 20 firings, `details` what the report
    shows.
    """

    rule: str
    kind: Literal["tensor", "profiler"]
    status: Literal["fired", "quiet", "no data"]
    times: int
    datapoints: int
    parameters: Mapping[str, Any]
    first: tuple[Fired, ...]
    details: Mapping[str, Any]
    description: str
    advice: str

    def to_aws(self) -> dict[str, Any]:
        """Return it in the schema of AWS's rule results."""
        return {
            "RuleTriggered": self.times,
            "Violations": self.times,
            "Details": dict(self.details),
            "Datapoints": self.datapoints,
            "RuleParameters": "\n".join(f"{name}:{one}" for name, one in self.parameters.items()),
        }


@dataclass(eq=False)
class Rule(ABC):
    """Sees records in order; cheap, and pure but for its own counts.

    A subclass says what it is in class variables, declares `Parameters` of its own, looks at
    records in `see`, and counts in `datapoints`. `advice` tells the engineer what to do. What a
    subclass keeps are dataclass fields with defaults, or attributes made in `__post_init__`.
    """

    kind: ClassVar[Literal["tensor", "profiler"]]
    description: ClassVar[str]
    advice: ClassVar[str]
    source: ClassVar[str]  # where definition and defaults come from
    needs: ClassVar[str]  # what must be recorded for it to see anything
    sees: ClassVar[tuple[type[Record], ...]] = (Record,)  # kinds of records; fewer cost less
    Parameters: ClassVar[type[RuleParameters]] = RuleParameters

    parameters: Any  # of the subclass's own `Parameters`
    datapoints: int = field(default=0, init=False)
    times: int = field(default=0, init=False)
    first: list[Fired] = field(default_factory=list, init=False)
    broken: str = field(default="", init=False)  # why it was switched off while it looked on

    def look(self, record: Record) -> Iterator[Fired]:
        """Have it see a record; count and yield what it fires."""
        for fired in self.see(record):
            self.times += 1
            if len(self.first) < SHOWN:
                self.first.append(fired)
            yield fired

    @abstractmethod
    def see(self, record: Record) -> Iterator[Fired]:
        """Look at a record; yield what fires. Most records are none of its business."""

    def details(self) -> Mapping[str, Any]:
        """Return what the report shows of it: figures and small tables, as JSON."""
        return {}

    def fire(self, record: Record, step: int, text: str, **evidence: Any) -> Fired:
        """Return a firing at `record`."""
        return Fired(
            record.at, type(self).__name__, step, text, evidence, rank=record.rank, host=record.host
        )

    def result(self) -> Result:
        """Return what it found so far."""
        seen = self.datapoints > 0 and not self.broken
        details: Mapping[str, Any] = {"needs": self.needs}
        if self.broken:
            details = {"broken": self.broken}
        elif seen:
            details = self.details()
        return Result(
            rule=type(self).__name__,
            kind=self.kind,
            status="fired" if self.times else "quiet" if seen else "no data",
            times=self.times,
            datapoints=self.datapoints,
            parameters=self.parameters.model_dump(),
            first=tuple(self.first),
            details=details,
            description=self.description,
            advice=self.advice,
        )
