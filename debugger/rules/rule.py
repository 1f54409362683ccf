"""The base class of rules: a rule reads the records of a job in order, fires, and has a result."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict

from debugger.records import Fired, Record

Action = Literal["report", "log", "stop"]
TRY_BF16 = "With fp16, try bf16."
SHOWN = 20  # firings of a rule that are stored; later ones are only counted


class RuleParameters(BaseModel):
    """The parameters of a rule with their defaults; unknown names and wrong types are errors.

    `action` is what happens when the rule fires while the job runs: "report" records the firing,
    "log" also prints it, "stop" also stops training.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    action: Action = "report"


@dataclass(frozen=True)
class Result:
    """What a rule found in a job.

    `status` is "fired", "quiet", or "no data" if the recording lacks the data that the rule checks
    (`details` then says what it needs, or why the rule failed). `datapoints` is how many values the
    rule checked, `times` how often it fired, `first` the first 20 firings, `details` what the
    report shows.
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
        """Return the result in the schema of AWS's rule results."""
        return {
            "RuleTriggered": self.times,
            "Violations": self.times,
            "Details": dict(self.details),
            "Datapoints": self.datapoints,
            "RuleParameters": "\n".join(f"{name}:{item}" for name, item in self.parameters.items()),
        }


@dataclass(eq=False)
class Rule(ABC):
    """Reads records in order. It must be cheap and change nothing but its own state.

    A subclass describes itself in class variables, can define its own `Parameters`, checks records
    in `see`, and counts the values it checked in `datapoints`. `advice` tells the engineer what to
    do; `advise` can leave out what the job already does, by the facts `about` it. State of a
    subclass is in dataclass fields with defaults, or attributes set in `__post_init__`.
    """

    kind: ClassVar[Literal["tensor", "profiler"]]
    description: ClassVar[str]
    advice: ClassVar[str]
    source: ClassVar[str]  # where the definition and the defaults come from
    needs: ClassVar[str]  # what must be recorded so that the rule has data
    sees: ClassVar[tuple[type[Record], ...]] = (
        Record,
    )  # kinds of records it gets; fewer kinds cost less time
    Parameters: ClassVar[type[RuleParameters]] = RuleParameters

    parameters: Any  # an instance of the subclass's `Parameters`
    datapoints: int = field(default=0, init=False)
    times: int = field(default=0, init=False)
    first: list[Fired] = field(default_factory=list, init=False)
    broken: str = field(default="", init=False)  # the error that switched the rule off
    about: Mapping[str, Any] = field(default_factory=dict, init=False)  # facts of the last Start

    def feed(self, record: Record) -> Iterator[Fired]:
        """Pass a record to the rule; count and yield its firings."""
        for fired in self.see(record):
            self.times += 1
            if len(self.first) < SHOWN:
                self.first.append(fired)
            yield fired

    @abstractmethod
    def see(self, record: Record) -> Iterator[Fired]:
        """Check a record and yield firings. Ignore records that do not matter to the rule."""

    def details(self) -> Mapping[str, Any]:
        """Return what the report shows: numbers and small tables, as JSON values."""
        return {}

    def advise(self) -> str:
        """Return what the engineer can do and the job does not do yet."""
        return self.advice

    def setting(self, name: str) -> Any:
        """Return a hyperparameter of the job; None if it is not known."""
        known = self.about.get("hyperparameters")
        return known.get(name) if isinstance(known, Mapping) else None

    def without_fp16(self, text: str) -> str:
        """Return advice without the sentence on fp16, unless the job uses it or it is unknown."""
        known = self.about.get("precision", "float16")
        return text if known == "float16" else text.replace(f" {TRY_BF16}", "")

    def fire(self, record: Record, step: int, text: str, **evidence: Any) -> Fired:
        """Return a firing with the time and the process of `record`."""
        return Fired(
            record.at, type(self).__name__, step, text, evidence, rank=record.rank, host=record.host
        )

    def result(self) -> Result:
        """Return the result so far."""
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
            advice=self.advise(),
        )


def either(*choices: str) -> str:
    """Return `a`, `a or b`, `a, b or c`; empty choices are left out."""
    given = [item for item in choices if item]
    return " or ".join([*([", ".join(given[:-1])] if given[:-1] else []), *given[-1:]])
