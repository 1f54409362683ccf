"""Parts of the facts that only some jobs have: trials, prices, wrong answers, another job."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

VERSION = 1


class Facts(BaseModel):
    """A part of the report; numbers that JSON cannot hold are the strings "NaN", "Infinity"."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")


class Point(Facts):
    """The value of a metric at a step; `epoch` counts from 0, as in steps."""

    at: float
    step: int
    epoch: int
    value: float


class Cost(Facts):
    """Prices and the cost of the job, in US dollars; the caller gives them.

    `hourly` is that of one machine; `billed` are seconds of each machine. `gpu_machine` is the
    cheapest with a GPU. `source` labels all figures.
    """

    source: str
    instance_type: str = ""
    machines: int = 1
    hourly: float | None = None
    billed: float | None = None
    gpu_machine: str = ""
    gpu_hourly: float | None = None

    @property
    def total(self) -> float | None:
        """The cost of the job; None if the price or the time is not known."""
        if self.hourly is None or self.billed is None:
            return None
        return self.hourly * self.machines * self.billed / 3600


class Mistake(Facts):
    """A picture with a wrong answer; `thumbnail` is a JPEG in base64."""

    split: str
    name: str
    truth: str
    answer: str
    probability: float
    thumbnail: str


class Trial(Facts):
    """A trial of a sweep or a tuning job; `epoch` is its best one, from 1."""

    name: str
    status: str
    hyperparameters: dict[str, Any]
    value: float | None
    epoch: int | None = None
    seconds: float | None = None
    history: dict[str, list[Point]] = {}


class Trials(Facts):
    """The trials of a sweep or a tuning job, best first; `best` is the name of the best."""

    objective: str
    minimize: bool = False
    best: str | None
    trials: list[Trial]


class Tuning(Facts):
    """The report of a tuning job."""

    version: int = VERSION
    headline: str
    name: str
    status: str
    cost: float | None
    source: str
    trials: Trials


class Difference(Facts):
    """A figure of two jobs; `unit` is "s", "%", "$" or ""; `better` is the direction, 0 if none."""

    name: str
    unit: str
    before: float | None
    now: float | None
    better: Literal[-1, 0, 1] = 0


class Setting(Facts):
    """A hyperparameter or fact that differs between two jobs."""

    name: str
    before: str
    now: str


class Comparison(Facts):
    """What changed since another job, `against`; its curves are drawn behind those of the job."""

    against: str
    figures: list[Difference]
    settings: list[Setting]
    curves: dict[str, list[Point]]
