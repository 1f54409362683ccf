"""What a write-up says, wherever it comes from."""

from dataclasses import dataclass, field
from pathlib import Path

from debugger.report.facts import Report
from scripts.aws.trials import Trial
from scripts.photos.invoking import Answer
from scripts.spec.section import Scalar


@dataclass(frozen=True)
class Row:
    """A line of the table of jobs.

    Attributes:
        job: the name.
        kind: "training", "trial", "tuning" or "transform".
        status: as SageMaker or the recording has it.
        started: seconds since 1970; None if it has not started.
        seconds: from start to end, or until now; None if it has not started.
        machines: such as `1 x ml.g5.xlarge`.
        billed: seconds; None if not known.
        dollars: US dollars; None if not known.
        result: the best value of the objective; None without one.
    """

    job: str
    kind: str
    status: str
    started: float | None = None
    seconds: float | None = None
    machines: str = ""
    billed: float | None = None
    dollars: float | None = None
    result: float | None = None


@dataclass(frozen=True)
class Point:
    """The value of a metric after an epoch, counted from 1."""

    epoch: float
    value: float


@dataclass(frozen=True)
class Run:
    """One training job in detail.

    Attributes:
        row: its line in the table.
        hyperparameters: as given, without secrets.
        curves: by metric, in the order of the epochs.
        best_epoch: the epoch in the bundle; None if not known.
        report: what the debugger and the profiler found; None without a recording.
        page: the report's HTML file in the write-up's folder; empty without a recording.
        missing: why there is no report.
        cost: a sentence about what it cost; empty if not known.
    """

    row: Row
    hyperparameters: dict[str, Scalar] = field(default_factory=dict)
    curves: dict[str, list[Point]] = field(default_factory=dict)
    best_epoch: int | None = None
    report: Report | None = None
    page: str = ""
    missing: str = ""
    cost: str = ""


@dataclass(frozen=True)
class Tuning:
    """A tuning job, a sweep, or jobs that differ in their hyperparameters; best trial first."""

    job: str
    kind: str
    objective: str
    minimize: bool
    trials: list[Trial]
    remark: str = ""

    @property
    def best(self) -> Trial | None:
        """The best trial; None if no trial has a value."""
        first = self.trials[0] if self.trials else None
        return first if first and first.value is not None else None

    @property
    def varied(self) -> list[str]:
        """The hyperparameters with more than one value among the trials."""
        names = dict.fromkeys(name for one in self.trials for name in one.hyperparameters)
        return [
            name
            for name in names
            if len({str(one.hyperparameters.get(name)) for one in self.trials}) > 1
        ]


@dataclass(frozen=True)
class Prediction:
    """The answer about a photo, with the name of its folder, if that is one of the classes."""

    answer: Answer
    folder: str = ""

    @property
    def photo(self) -> Path:
        """The path of the photo."""
        return self.answer.photo

    @property
    def scores(self) -> list[tuple[str, float]]:
        """Classes with their probabilities, the most likely first; empty without an answer."""
        body = self.answer.body or {}
        pairs = zip(body.get("labels", ()), body.get("probabilities", ()), strict=True)
        return sorted(((str(a), float(b)) for a, b in pairs), key=lambda pair: -pair[1])


@dataclass(frozen=True)
class Recipe:
    """How to repeat it: an experiment's TOML text, what it lacks, and commands."""

    toml: str = ""
    remarks: list[str] = field(default_factory=list)
    commands: list[list[str]] = field(default_factory=list)


@dataclass(frozen=True)
class Story:
    """All of it. `where` is the account, the emulator or the folders; `money` is about prices."""

    where: str
    rows: list[Row]
    runs: list[Run] = field(default_factory=list)
    tunings: list[Tuning] = field(default_factory=list)
    predictions: list[Prediction] = field(default_factory=list)
    endpoint: str = ""
    on_aws: bool = False
    recipe: Recipe = field(default_factory=Recipe)
