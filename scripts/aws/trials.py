"""The trials of a tuning job: what each tried, its result, and which one is the best."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from scripts.aws.client import Aws
from scripts.console import terminal
from scripts.requests import jobs
from scripts.spec import canonical
from scripts.spec.section import Scalar
from train.config import TrainConfig

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
    hyperparameters: dict[str, Scalar]
    value: float | None
    seconds: float | None
    reason: str = ""

    @classmethod
    def parse(cls, summary: dict[str, Any]) -> "Trial":
        """Read a HyperParameterTrainingJobSummary."""
        metric = summary.get("FinalHyperParameterTuningJobObjectiveMetric")
        start, end = summary.get("TrainingStartTime"), summary.get("TrainingEndTime")
        return cls(
            job=summary["TrainingJobName"],
            status=summary["TrainingJobStatus"],
            hyperparameters=parse_tuned(summary.get("TunedHyperParameters", {})),
            value=metric["Value"] if metric else None,
            seconds=(end - start).total_seconds() if start and end else None,
            reason=summary.get("FailureReason", ""),
        )


def parse_tuned(tuned: dict[str, str]) -> dict[str, Scalar]:
    """Read TunedHyperParameters as a spec would have them: numbers as numbers.

    SageMaker's own entries are dropped, and the quotes that some SDKs put around words.
    """
    parsed: dict[str, Scalar] = {}
    for name, text in tuned.items():
        if name.startswith(("_tuning_", "sagemaker_")):
            continue
        value = text.strip('"')
        field = TrainConfig.model_fields.get(canonical(name))
        number = _NUMBERS.get(field.annotation) if field else None
        # SageMaker writes the integers of a range as 3.0.
        parsed[name] = number(float(value)) if number else value
    return parsed


def fetch(aws: Aws, tuning_job: str) -> list[Trial]:
    """Return all trials so far, oldest first."""
    return [Trial.parse(one) for one in aws.pages(jobs.trials(tuning_job), "TrainingJobSummaries")]


def ranked(trials: Iterable[Trial], *, minimize: bool) -> list[Trial]:
    """Sort the trials, best first; trials without a value come last."""
    return sorted(
        trials,
        key=lambda one: (one.value is None, (one.value or 0) * (1 if minimize else -1)),
    )


def show(trials: Iterable[Trial], objective: str, *, minimize: bool) -> None:
    """Print the trials as a table, best first."""
    best_first = ranked(trials, minimize=minimize)
    names = list(dict.fromkeys(name for one in best_first for name in one.hyperparameters))
    terminal.table(
        ["", objective, *names, "status", "time", "job"],
        (
            [
                "best" if not rank and one.value is not None else "",
                "" if one.value is None else f"{one.value:.4f}",
                *(str(one.hyperparameters.get(name, "")) for name in names),
                one.status,
                "" if one.seconds is None else f"{one.seconds:.0f} s",
                one.job,
            ]
            for rank, one in enumerate(best_first)
        ),
        if_empty="no trial yet",
    )
