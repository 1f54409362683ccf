"""The trials of a sweep, one training job that trains a whole grid; read from the job's log."""

from typing import Any

from scripts.aws import logs
from scripts.aws.client import Aws
from scripts.aws.trials import Trial
from scripts.console import terminal
from train import metrics

_VALUE = metrics.OBJECTIVE.name
_RESULTS = ("trial", "best_epoch", "epochs_run")


def fetch(aws: Aws, job: str) -> list[dict[str, Any]]:
    """Return the job's trials, best first; trials that diverged have no value."""
    found: dict[int, dict[str, Any]] = {}
    for line in logs.Log(aws, logs.TRAINING, f"{job}/").new_lines():
        if facts := metrics.trial(line.text):
            found[facts["trial"]] = facts  # a restarted job logs a trial again
    return sorted(found.values(), key=rank)


def hyperparameters(trial: dict[str, Any]) -> dict[str, Any]:
    """The hyperparameters that differ between trials."""
    return {
        name: value for name, value in trial.items() if ":" not in name and name not in _RESULTS
    }


def as_trial(one: dict[str, Any]) -> Trial:
    """Return a trial of a sweep as one of a tuning job; without a value if it diverged."""
    value = one.get(_VALUE)
    accuracy = float(value) if isinstance(value, int | float) else None
    return Trial(
        job=f"trial {one['trial']}",
        status="Diverged" if accuracy is None else "Completed",
        hyperparameters=hyperparameters(one),
        value=accuracy,
        seconds=None,
    )


def show(trials: list[dict[str, Any]]) -> None:
    """Print the table, best first."""
    names = list(dict.fromkeys(name for one in trials for name in hyperparameters(one)))
    rows = [
        [
            "best" if not rank and one.get(_VALUE) is not None else "",
            "diverged" if one.get(_VALUE) is None else f"{one[_VALUE]:.4f}",
            *(str(one[name]) for name in names),
            str(one.get("best_epoch", "")),
            str(one["trial"]),
        ]
        for rank, one in enumerate(trials)
    ]
    terminal.table(["", _VALUE, *names, "best epoch", "trial"], rows, if_empty="no trial yet")


def rank(trial: dict[str, Any]) -> tuple[float, float, int]:
    """The order of train/features/trial.py: accuracy, then the lower loss, then the first."""
    accuracy, loss = trial.get(_VALUE), trial.get("validation:loss")  # null if it diverged
    return -(-1.0 if accuracy is None else accuracy), loss or 0.0, trial["trial"]
