"""The facts of a report, as its JSON has them and its page shows them.

Times are seconds since 1970, lengths of time seconds, shares 0 to 1. docs/debugger.md lists them.
"""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

VERSION = 1
Ended = Literal["completed", "stopped", "failed"]
Status = Ended | Literal["ended abruptly", "running", "unknown"]


class Facts(BaseModel):
    """A part of the report; figures that JSON lacks are written as "NaN", "Infinity"."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")


class Attempt(Facts):
    """One start of the job's chief process; a job started again after an interruption has several.

    `status` is None where it left no End: it was killed.
    """

    started: float
    last_sign: float
    first_step: int | None
    last_step: int | None
    status: Ended | None
    reason: str


class Job(Facts):
    """What ran, where, when, and how it ended."""

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
    """A part of the job's time; `share` is of all of it."""

    name: str
    seconds: float
    share: float


class Time(Facts):
    """Where the job's time went, by its chief process.

    `parts` add up to `seconds`. `loop` is `seconds` without initialisation and finalisation;
    `train`, `evaluation` and `others` are AWS's view of it, `forward` and `backward` of `train`.
    """

    seconds: float
    parts: list[Part]
    loop: float
    train: float
    evaluation: float
    others: float
    forward: float
    backward: float


class Point(Facts):
    """A figure of a step; its epoch counts from 0, as a step's does."""

    at: float
    step: int
    epoch: int
    value: float


class Distribution(Facts):
    """Figures of many values."""

    count: int
    mean: float
    std: float
    min: float
    p50: float
    p95: float
    p99: float
    max: float


class Bin(Facts):
    """A bar of a histogram: `count` values from `low` to below `high`; the last includes it."""

    low: float
    high: float
    count: int


class Longer(Facts):
    """A phase of an outlier step: how long it took, and how long it usually does (median)."""

    phase: str
    seconds: float
    usual: float


class Unusual(Facts):
    """A figure of the system during an outlier step, and what it usually was (median)."""

    name: str
    value: float
    usual: float


class Outlier(Facts):
    """A step that took far longer than the others, and what was different about it."""

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

    `outlier_threshold` is the slowest process's; `outlier_seconds` what outliers took over the
    mean, in the process that lost most; `outlier_every` the gap in steps that most of them have to
    the next, if there is one.
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
    """A figure of the system on a host, over the whole job; `unit` is "%", "bytes", "bytes/s"."""

    host: str
    name: str
    unit: str
    figures: Distribution


class Layer(Facts):
    """A tensor's health over the job.

    l2 and change are medians of the finite ones; shares are the greatest seen.
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
    """A class in the last evaluation; None where a share of nothing would be asked for."""

    name: str
    pictures: int
    recall: float | None
    precision: float | None


class Pair(Facts):
    """Pictures of one class answered as another; `share` is of the first class's pictures."""

    truth: str
    answer: str
    pictures: int
    share: float


class Confusion(Facts):
    """The last evaluation's answers against truth; pairs most pictures first."""

    step: int
    epoch: int
    pictures: int
    accuracy: float
    classes: list[Class]
    pairs: list[Pair]


class Operator(Facts):
    """An operator in the profiled window; `share` is of all operators' own seconds there."""

    name: str
    calls: int
    self_seconds: float
    total_seconds: float
    share: float


class Operators(Facts):
    """What torch.profiler saw on a device."""

    process: str
    device: str
    step: int
    steps: int
    seconds: float
    operators: list[Operator]


class Firing(Facts):
    """One of a rule's firings."""

    at: float
    process: str
    step: int
    text: str
    evidence: dict[str, Any]


class Rule(Facts):
    """What a rule found; `aws` is the same in the schema of AWS's rule results."""

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
    """A sentence with its figures, and what to do; `seconds` is what it costs at most."""

    seconds: float
    finding: str
    remedy: str


# AWS's rules that only report; they judge nothing.
REPORTING = ("OverallSystemUsage", "OverallFrameworkMetrics", "ProfilerReport")


class Report(Facts):
    """Everything; rules most triggered first, advice dearest first."""

    version: int = VERSION
    headline: str
    job: Job
    time: Time
    advice: list[Advice]
    rules: list[Rule]
    curves: dict[str, list[Point]]
    steps: Steps | None
    layers: list[Layer]
    confusion: Confusion | None
    system: list[Usage]
    operators: list[Operators]

    @property
    def judging(self) -> list[Rule]:
        """Rules that judge, and had data to."""
        return [one for one in self.rules if one.status != "no data" and one.rule not in REPORTING]
