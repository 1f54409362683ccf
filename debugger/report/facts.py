"""The schema of the facts: `report.json` contains them, and the page shows them.

Times are seconds since 1970, durations are in seconds, shares are 0 to 1. docs/debugger.md lists
the facts.
"""

from typing import Any, Literal

from pydantic import Field

from debugger.report.parts import (
    VERSION,
    Comparison,
    Cost,
    Difference,
    Facts,
    Mistake,
    Point,
    Setting,
    Trial,
    Trials,
    Tuning,
)

__all__ = [
    "Comparison",
    "Cost",
    "Difference",
    "Mistake",
    "Point",
    "Setting",
    "Trial",
    "Trials",
    "Tuning",
]
Ended = Literal["completed", "stopped", "failed"]
Status = Ended | Literal["ended abruptly", "running", "unknown"]


class Attempt(Facts):
    """One start of the main process; after an interruption and a restart there are several.

    `status` is None if there is no End record, because the process was killed.
    """

    started: float
    last_sign: float
    first_step: int | None
    last_step: int | None
    status: Ended | None
    reason: str


class Job(Facts):
    """What ran, where and when, and how it ended."""

    name: str
    status: Status
    reason: str
    started: float
    last_sign: float
    seconds: float
    last_step: int | None
    epochs: int
    world: int
    processes: list[str]
    attempts: list[Attempt]
    about: dict[str, Any]
    notes: list[str]


class Part(Facts):
    """A part of the job's time; `share` is its share of the whole time."""

    name: str
    seconds: float
    share: float


class Time(Facts):
    """Where the time of the main process went.

    `parts` add up to `seconds`. `loop` is `seconds` without initialisation and finalisation. As AWS
    counts, `loop` is `train` + `evaluation` + `others`; `forward` and `backward` are parts of
    `train`.
    """

    seconds: float
    parts: list[Part]
    loop: float
    train: float
    evaluation: float
    others: float
    forward: float
    backward: float


class Best(Facts):
    """The epoch whose weights are in the bundle; `epoch` counts from 1, as in the log."""

    epoch: int
    values: dict[str, float]


class Distribution(Facts):
    """Statistics of many values."""

    count: int
    mean: float
    std: float
    min: float
    p50: float
    p95: float
    p99: float
    max: float


class Bin(Facts):
    """A bin of a histogram: `count` values, `low` <= value < `high` (<= in the last bin)."""

    low: float
    high: float
    count: int


class Longer(Facts):
    """A phase of an outlier step: how long it took, and how long it usually takes (median)."""

    phase: str
    seconds: float
    usual: float


class Unusual(Facts):
    """A system metric during an outlier step, and its usual value (median)."""

    name: str
    value: float
    usual: float


class Outlier(Facts):
    """A step that took much longer than others, and what was different in it."""

    process: str
    at: float
    step: int
    epoch: int
    seconds: float
    longer: list[Longer]
    system: list[Unusual]
    beside: list[str]


class Steps(Facts):
    """The training steps of all processes.

    `outlier_threshold` is that of the slowest process. `outlier_seconds` is the time of outliers
    above the mean, in the process that lost most. `outlier_every` is the number of steps between
    most outliers, if it is regular.
    """

    durations: Distribution
    phases: dict[str, Distribution]
    histogram: list[Bin]
    pictures_per_second: float
    outlier_threshold: float
    outlier_count: int
    outlier_seconds: float
    outlier_every: int | None
    outliers: list[Outlier]


class Usage(Facts):
    """A system metric of a host over the whole job; `unit` is "%", "bytes" or "bytes/s"."""

    host: str
    name: str
    unit: str
    figures: Distribution


class Layer(Facts):
    """The health of a tensor over the job.

    `l2` and `change` are medians of the finite values; shares are maximums.
    """

    collection: str
    name: str
    size: int
    records: int
    l2: float | None
    change: float | None
    zeros: float
    nonfinite: float
    dead: float | None
    saturated: float | None


class Class(Facts):
    """A class in the last evaluation; a share is None if it would divide by 0."""

    name: str
    pictures: int
    recall: float | None
    precision: float | None


class Pair(Facts):
    """Pictures of class `truth` predicted as `answer`; `share` is their share of `truth`."""

    truth: str
    answer: str
    pictures: int
    share: float


class Confusion(Facts):
    """The results of an evaluation; pairs with the most pictures first.

    It is that of the test pictures, or of the validation pictures in the best epoch; `split` is
    empty if the recording does not say.
    """

    split: str = ""
    step: int
    epoch: int
    pictures: int
    accuracy: float
    classes: list[Class]
    pairs: list[Pair]


class Operator(Facts):
    """An operator in the profiled window; `share` is its share of the sum of `self_seconds`."""

    name: str
    calls: int
    self_seconds: float
    total_seconds: float
    share: float


class Operators(Facts):
    """The results of torch.profiler on a device."""

    process: str
    device: str
    step: int
    steps: int
    seconds: float
    operators: list[Operator]


class Firing(Facts):
    """A firing of a rule."""

    at: float
    process: str
    step: int
    text: str
    evidence: dict[str, Any]


class Rule(Facts):
    """The result of a rule; `aws` is the same in the schema of AWS's rule results."""

    rule: str
    kind: Literal["tensor", "profiler"]
    status: Literal["fired", "quiet", "no data"]
    times: int
    datapoints: int
    parameters: dict[str, Any]
    first: list[Firing]
    details: dict[str, Any]
    description: str
    advice: str
    aws: dict[str, Any]


class Advice(Facts):
    """A finding with numbers, and a remedy; `seconds` is the most that it costs."""

    seconds: float
    finding: str
    remedy: str


OBJECTIVE = "validation:accuracy"

# AWS's rules that only report and never fire.
REPORTING = ("OverallSystemUsage", "OverallFrameworkMetrics", "ProfilerReport")


class Report(Facts):
    """All facts; rules that fired most often first, most expensive advice first."""

    version: int = VERSION
    headline: str
    job: Job
    time: Time
    advice: list[Advice]
    rules: list[Rule]
    curves: dict[str, list[Point]]
    best: Best | None = None
    steps: Steps | None
    layers: list[Layer]
    confusion: Confusion | None
    mistakes: list[Mistake] = Field(default_factory=list)
    trials: Trials | None = None
    cost: Cost | None = None
    against: Comparison | None = None
    system: list[Usage]
    operators: list[Operators]

    @property
    def best_accuracy(self) -> tuple[int, float] | None:
        """The best epoch, from 1, and its validation accuracy.

        It is the epoch in the bundle; while there is no bundle, the first with the highest value.
        """
        if self.best and (value := self.best.values.get(OBJECTIVE)) is not None:
            return self.best.epoch, value
        points = self.curves.get(OBJECTIVE)
        first = max(points, key=lambda item: item.value) if points else None
        return (first.epoch + 1, first.value) if first else None

    @property
    def judging(self) -> list[Rule]:
        """The rules that can fire and had data."""
        return [
            item for item in self.rules if item.status != "no data" and item.rule not in REPORTING
        ]

    @property
    def sweep(self) -> bool:
        """Whether the job trained a whole grid."""
        return bool((self.job.about.get("hyperparameters") or {}).get("sweep"))
