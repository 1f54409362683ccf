"""A trial of a sweep: its results in the log, in the recording, and in sweep.json and sweep.csv."""

import csv
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import nn

from pictures.text import cell
from train import metrics
from train.config import TrainConfig
from train.recording import hooks
from train.state.run import Run
from train.state.state import Selection


@dataclass
class Trial:
    """One combination of hyperparameters, its head and its results. `number` counts from 1."""

    number: int
    config: TrainConfig
    head: nn.Linear
    optimizer: torch.optim.Optimizer
    selection: Selection = field(default_factory=Selection)
    lost: bool = False  # the loss is not a number any more
    history: list[dict[str, float]] = field(default_factory=list)
    steps: list[int] = field(default_factory=list)  # the last step of each epoch, of the whole job

    @property
    def finished(self) -> bool:
        """Whether its epochs are done or it ended early."""
        impatient = 0 < self.config.patience <= self.selection.stale
        return self.lost or impatient or len(self.history) >= self.config.epochs


def winner(trials: Sequence[Trial]) -> Trial | None:
    """Return the first of `ranked`; None if every trial was lost."""
    first = ranked(trials)[0]
    return first if first.selection.best else None


def ranked(trials: Sequence[Trial]) -> list[Trial]:
    """Return the trials by best validation accuracy, then lower loss, then number; lost ones last.

    It is the rule by which `Selection` chooses an epoch.
    """

    def rank(trial: Trial) -> tuple[float, float, int]:
        best = trial.selection.best
        return (-best.accuracy, best.loss, trial.number) if best else (1.0, 0.0, trial.number)

    return sorted(trials, key=rank)


def report(run: Run, trial: Trial) -> None:
    """Report an epoch of a trial, and its end."""
    run.hooks.trial(reported(run.config, trial, status="running"))
    if trial.finished:
        status: Literal["lost", "finished"] = "lost" if trial.lost else "finished"
        run.hooks.trial(reported(run.config, trial, status=status))


def reported(
    config: TrainConfig, trial: Trial, *, status: Literal["running", "finished", "lost", "best"]
) -> hooks.Trial:
    """Return the last epoch of a running trial, or the best epoch of one that has ended."""
    best = trial.selection.best
    place = len(trial.history) - 1 if status == "running" else best.epoch if best else -1
    figures = dict(trial.history[place]) if place >= 0 else {}
    swept = {name: getattr(trial.config, name) for name in json.loads(config.sweep)}
    step = trial.steps[place]
    return hooks.Trial(trial.number, status, swept, step, int(figures.pop("epoch", 0)), figures)


def facts(config: TrainConfig, trial: Trial) -> dict[str, object]:
    """Return a trial's line in the log: its hyperparameters and the figures of its best epoch."""
    swept = {name: getattr(trial.config, name) for name in json.loads(config.sweep)}
    best = trial.selection.best
    found: dict[str, object] = dict(trial.history[best.epoch]) if best else {}
    if "epoch" in found:
        found["best_epoch"] = found.pop("epoch")
    return {"trial": trial.number, **swept, **found, "epochs_run": len(trial.history)}


def write(run: Run, trials: Sequence[Trial], seconds: float) -> None:
    """Write sweep.json with every epoch of every trial, and sweep.csv with the best trial first."""
    out = run.job.output_dir
    out.mkdir(parents=True, exist_ok=True)
    best = winner(trials)
    contents = {
        "sweep": json.loads(run.config.sweep),
        "best": best.number if best else None,
        "seconds": seconds,
        "trials": [facts(run.config, trial) | {"history": trial.history} for trial in trials],
    }
    (out / "sweep.json").write_text(metrics.to_json(contents, indent=1) + "\n")
    rows = [facts(run.config, trial) for trial in ranked(trials)]
    with (out / "sweep.csv").open("w", newline="") as file:
        columns = list(dict.fromkeys(name for row in rows for name in row))
        sheet = csv.DictWriter(file, columns)
        sheet.writeheader()
        sheet.writerows({name: _safe(value) for name, value in row.items()} for row in rows)


def _safe(value: object) -> object:
    """Return a value for the CSV file; numbers stay numbers."""
    return cell(value) if isinstance(value, str) else value
