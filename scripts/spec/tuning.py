"""`[tuning]`: the strategy, the ranges of hyperparameters, and the number of jobs."""

import difflib
import itertools
import json
import math
from collections.abc import Iterator
from typing import Any, Literal

from pydantic import Field, model_validator

from scripts.spec.section import Count, Scalar, Section
from train.config import ALIASES, TrainConfig
from train.metrics import METRICS, OBJECTIVE

# Source: CategoricalParameterRange and ParameterRanges in the SageMaker API.
MAX_VALUES = 30
MAX_RANGES = 30
# The most combinations that are checked against the training job's own rules.
_MAX_CHECKED = 2_000

Kind = Literal["Categorical", "Integer", "Continuous"]


def canonical(name: str) -> str:
    """The name that the training image uses for the hyperparameter `name`."""
    name = name.replace("-", "_")
    return ALIASES.get(name, name)


class Range(Section):
    """A list of values (in TOML, a plain list is enough), or a minimum and a maximum."""

    values: list[Scalar] | None = Field(
        None, min_length=1, description="the values; in TOML a plain list is enough. At most 30"
    )
    min: int | float | None = Field(None, description="the smallest value")
    max: int | float | None = Field(None, description="the largest value")
    scale: Literal["auto", "linear", "log", "reverse-log"] = Field(
        "auto", description="how SageMaker spreads values between `min` and `max`"
    )

    @model_validator(mode="before")
    @classmethod
    def _list_alone(cls, given: Any) -> Any:
        return {"values": given} if isinstance(given, list) else given

    def conflicts(self) -> Iterator[tuple[str, str]]:
        """Neither or both forms, an empty range, or a scale that the range does not allow."""
        if (self.values is None) == (self.min is None and self.max is None):
            yield "", "give either a list of values or min and max"
        elif self.values is not None:
            if len(self.values) > MAX_VALUES:
                yield (
                    "",
                    f"{len(self.values)} values, SageMaker takes {MAX_VALUES}: remove some",
                )
            if len(set(map(str, self.values))) < len(self.values):
                yield "", "a value is listed twice: remove one"
        elif self.min is None or self.max is None or not self.min < self.max:
            yield "", "give both min and max, with min less than max"
        elif self.scale == "log" and self.min <= 0:
            yield "scale", f"a log scale needs min above 0 (given {self.min})"
        elif self.scale == "reverse-log" and not (self.min >= 0 and self.max < 1):
            yield "scale", "a reverse-log scale needs 0 <= min and max < 1"

    def ends(self) -> list[Scalar]:
        """All values of a list, or the minimum and the maximum."""
        if self.values is not None:
            return self.values
        assert self.min is not None
        assert self.max is not None
        return [self.min, self.max]

    def kind(self, name: str) -> Kind:
        """The name that SageMaker gives this kind of range for the hyperparameter `name`."""
        if self.values is not None:
            return "Categorical"
        whole = TrainConfig.model_fields[canonical(name)].annotation in (int, int | None)
        return "Integer" if whole else "Continuous"


class Hyperband(Section):
    """The fewest and the most epochs that Hyperband gives a trial."""

    min_epochs: Count = Field(description="epochs that each trial gets")
    max_epochs: Count = Field(description="epochs that the best trials get")

    def conflicts(self) -> Iterator[tuple[str, str]]:
        """A range without a value."""
        if self.min_epochs >= self.max_epochs:
            yield "max_epochs", f"must be more than min_epochs ({self.min_epochs})"


class WarmStart(Section):
    """Earlier tuning jobs to learn from."""

    parents: list[str] = Field(
        min_length=1, max_length=5, description="names of earlier tuning jobs"
    )
    identical: bool = Field(
        False, description="`true`: the same data and algorithm; `false`: they can differ"
    )


class Tuning(Section):
    """A tuning job. A range replaces the same key in `[hyperparameters]`."""

    strategy: Literal["grid", "random", "bayesian", "hyperband", "sweep"] = Field(
        description="`sweep` trains the whole grid in one training job, for frozen backbones"
    )
    ranges: dict[str, Range] = Field(
        min_length=1,
        max_length=MAX_RANGES,
        description=(
            "a list of values, or `min` and `max`, for each hyperparameter; grids and sweeps need"
            " lists. A range replaces the same key in `[hyperparameters]`"
        ),
    )
    max_jobs: Count | None = Field(
        None,
        description=(
            "the most training jobs; a grid has as many as combinations, the other strategies "
            "require it"
        ),
    )
    parallel: Count = Field(1, description="training jobs at the same time")
    objective: str = Field(
        OBJECTIVE.name,
        description=(
            "the metric that ranks the trials: any except those of `test`; losses are minimised"
        ),
    )
    max_run_seconds: int | None = Field(
        None, ge=120, le=15_768_000, description="limit for the whole tuning job"
    )
    early_stopping: bool = Field(
        False, description="SageMaker stops trials that look worse than earlier ones"
    )
    target: float | None = Field(None, description="stop when the objective reaches this value")
    seed: int | None = Field(None, ge=0, description="the same seed gives the same trials")
    hyperband: Hyperband | None = Field(None, description="required by strategy `hyperband`")
    warm_start: WarmStart | None = Field(None, description="learn from earlier tuning jobs")

    @property
    def jobs(self) -> int:
        """The number of training jobs: the whole grid, or at most `max_jobs`."""
        if self.strategy == "sweep":
            return 1
        return self.grid_size if self.strategy == "grid" else self.max_jobs or 0

    @property
    def grid_size(self) -> int:
        """The number of combinations of the ranges' values."""
        return math.prod(len(one.values or ()) for one in self.ranges.values())

    def trials(self) -> Iterator[dict[str, Scalar]]:
        """Every combination of listed values, minima and maxima, up to a limit."""
        corners = itertools.product(*(one.ends() for one in self.ranges.values()))
        for corner in itertools.islice(corners, _MAX_CHECKED):
            yield dict(zip(self.ranges, corner, strict=True))

    def conflicts(self) -> Iterator[tuple[str, str]]:
        """What SageMaker would refuse, and objectives that mislead."""
        yield from self._name_conflicts()
        if self.strategy in ("grid", "sweep"):
            yield from self._grid_conflicts()
        elif self.max_jobs is None:
            yield (
                "max_jobs",
                f"strategy {self.strategy} needs it: the most jobs to start",
            )
        if self.strategy == "sweep":
            yield from self._sweep_conflicts()
        if self.jobs and self.parallel > self.jobs:
            yield (
                "parallel",
                f"{self.parallel} at once, but there are {self.jobs} jobs: lower it",
            )
        if self.strategy == "hyperband":
            if self.hyperband is None:
                yield "hyperband", "strategy hyperband needs { min_epochs = …, max_epochs = … }"
            if self.early_stopping:
                yield "early_stopping", "Hyperband stops jobs by itself: set it to false"
        elif self.hyperband is not None:
            yield "hyperband", f"it belongs to strategy hyperband, not {self.strategy}: remove it"
        if self.objective not in METRICS:
            near = difflib.get_close_matches(self.objective, METRICS, n=1, cutoff=0.4)
            offer = near[0] if near else OBJECTIVE.name
            yield "objective", f"the job has no metric {self.objective}: use {offer}"
        elif self.objective.startswith("test:"):
            offer = self.objective.replace("test:", "validation:")
            yield "objective", f"a test set that chooses the model is no longer a test: use {offer}"

    def _grid_conflicts(self) -> Iterator[tuple[str, str]]:
        unlisted = [name for name, one in self.ranges.items() if one.values is None]
        for name in unlisted:
            yield (
                f"ranges.{name}",
                f"a {self.strategy} needs lists of values: list them, "
                'or use strategy "random" or "bayesian"',
            )
        if self.max_jobs is not None and not unlisted and self.max_jobs != self.grid_size:
            yield (
                "max_jobs",
                f"{self.max_jobs}, but SageMaker runs all {self.grid_size} combinations of a grid: "
                f"remove it, or set {self.grid_size}",
            )

    def _sweep_conflicts(self) -> Iterator[tuple[str, str]]:
        if self.objective != OBJECTIVE.name:
            yield "objective", f"a sweep ranks its trials by {OBJECTIVE.name}: remove it"
        for key in ("early_stopping", "target", "max_run_seconds", "warm_start", "seed"):
            if getattr(self, key):
                yield key, "a sweep is one training job and cannot have it: remove it"

    @property
    def lists(self) -> str:
        """The hyperparameter `sweep`: the lists of the grid as JSON."""
        return json.dumps({canonical(name): one.values for name, one in self.ranges.items()})

    def _name_conflicts(self) -> Iterator[tuple[str, str]]:
        seen: dict[str, str] = {}
        for name, one in self.ranges.items():
            known = canonical(name)
            if known not in TrainConfig.model_fields:
                near = difflib.get_close_matches(known, [*TrainConfig.model_fields, *ALIASES], n=1)
                offer = f" (did you mean {near[0]}?)" if near else ""
                yield f"ranges.{name}", f"no such hyperparameter{offer}"
                continue
            if known in seen:
                yield f"ranges.{name}", f"{seen[known]} is the same hyperparameter: remove one"
            seen[known] = name
            annotation = TrainConfig.model_fields[known].annotation
            if one.values is None and annotation not in (int, int | None, float, float | None):
                yield f"ranges.{name}", "it is not a number: list its values"
            elif one.kind(name) == "Integer" and not all(
                isinstance(end, int) for end in one.ends()
            ):
                yield f"ranges.{name}", "it is an integer: give min and max as integers"
