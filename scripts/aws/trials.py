"""The trials of a tuning job: what each tried, what came of it, and which is the best."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from scripts.aws.client import Aws
from scripts.console import shown
from scripts.requests import running
from scripts.spec.section import Scalar
from train.config import ALIASES, TrainConfig

_NUMBERS: dict[object, Callable[[float], Scalar]] = {
    int: int,
    int | None: int,
    float: float,
    float | None: float,
}


@dataclass(frozen=True)
class Trial:
    """One training job of a tuning job. `value` is the objective's, None until there is one."""

    job: str
    status: str
    hyperparameters: dict[str, str]
    value: float | None
    seconds: float | None
    reason: str = ""

    @classmethod
    def of(cls, summary: dict[str, Any]) -> "Trial":
        """Read a HyperParameterTrainingJobSummary."""
        metric = summary.get("FinalHyperParameterTuningJobObjectiveMetric")
        start, end = summary.get("TrainingStartTime"), summary.get("TrainingEndTime")
        return cls(
            job=summary["TrainingJobName"],
            status=summary["TrainingJobStatus"],
            hyperparameters=plain(summary.get("TunedHyperParameters", {})),
            value=metric["Value"] if metric else None,
            seconds=(end - start).total_seconds() if start and end else None,
            reason=summary.get("FailureReason", ""),
        )


def plain(tuned: dict[str, str]) -> dict[str, str]:
    """Without what belongs to SageMaker, and without the quotes that some SDKs put around words."""
    return {
        name: value.strip('"')
        for name, value in tuned.items()
        if not name.startswith(("_tuning_", "sagemaker_"))
    }


def fetch(aws: Aws, tuning_job: str) -> list[Trial]:
    """Every trial so far, oldest first."""
    return [Trial.of(one) for one in aws.pages(running.trials(tuning_job), "TrainingJobSummaries")]


def ranked(trials: Iterable[Trial], *, minimize: bool) -> list[Trial]:
    """Best first; those without a value last, in their order."""
    return sorted(
        trials,
        key=lambda one: (one.value is None, (one.value or 0) * (1 if minimize else -1)),
    )


def typed(hyperparameters: dict[str, str]) -> dict[str, Scalar]:
    """As a spec's `[hyperparameters]` would have them: numbers as numbers."""
    typed_: dict[str, Scalar] = {}
    for name, value in hyperparameters.items():
        known = name.replace("-", "_")
        known = ALIASES.get(known, known)
        field = TrainConfig.model_fields.get(known)
        kind = _NUMBERS.get(field.annotation) if field else None
        # SageMaker writes whole numbers of a span as 3.0.
        typed_[name] = kind(float(value)) if kind else value
    return typed_


def show(trials: Iterable[Trial], objective: str, *, minimize: bool) -> None:
    """Print the table, best first."""
    best_first = ranked(trials, minimize=minimize)
    names = list(dict.fromkeys(name for one in best_first for name in one.hyperparameters))
    shown.table(
        ["", objective, *names, "status", "time", "job"],
        (
            [
                "best" if not place and one.value is not None else "",
                "" if one.value is None else f"{one.value:.4f}",
                *(one.hyperparameters.get(name, "") for name in names),
                one.status,
                "" if one.seconds is None else f"{one.seconds:.0f} s",
                one.job,
            ]
            for place, one in enumerate(best_first)
        ),
        none="no trial yet",
    )
