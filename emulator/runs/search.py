"""What a tuning job tries next: every combination (Grid), or what optuna proposes.

Bayesian is optuna's TPE, Hyperband its pruner over random proposals: same contract, not same draws.
"""

import itertools
from collections.abc import Iterator
from typing import Protocol

import optuna

from emulator.contract import Record

Tried = dict[str, str]


class Search(Protocol):
    """Proposes hyperparameters, and learns what came of them."""

    def propose(self) -> tuple[int, Tried] | None:
        """Return a number and hyperparameters to try, or None when there is nothing left."""

    def hopeless(self, number: int, values: list[float]) -> bool:
        """Whether a trial with these objective values so far should be stopped."""

    def learn(self, number: int, value: float | None) -> None:
        """Take a trial's final objective value, or None when it has none."""


def make(name: str, config: Record) -> Search:
    """Return the search that a HyperParameterTuningJobConfig, already checked, asks for.

    The same job name and RandomSeed give the same search.
    """
    if config["Strategy"] == "Grid":
        return Grid(config["ParameterRanges"])
    return Optuna(name, config)


def combinations(ranges: Record) -> Iterator[Tried]:
    """Give every combination of categorical ranges."""
    categories = ranges.get("CategoricalParameterRanges", [])
    names = [one["Name"] for one in categories]
    for values in itertools.product(*(one["Values"] for one in categories)):
        yield dict(zip(names, values, strict=True))


class Grid:
    """Every combination, once."""

    def __init__(self, ranges: Record) -> None:
        self._left = enumerate(combinations(ranges))

    def propose(self) -> tuple[int, Tried] | None:
        """Return the next combination."""
        return next(self._left, None)

    def hopeless(self, number: int, values: list[float]) -> bool:  # noqa: ARG002
        """Grid stops nothing."""
        return False

    def learn(self, number: int, value: float | None) -> None:
        """Grid learns nothing."""


class Optuna:
    """Random, Bayesian and Hyperband."""

    def __init__(self, name: str, config: Record) -> None:
        optuna.logging.disable_default_handler()
        seed = config.get("RandomSeed")
        bayesian = config["Strategy"] == "Bayesian"
        self._study = optuna.create_study(
            study_name=name,  # Hyperband deals its brackets by the study's name
            direction=config["HyperParameterTuningJobObjective"]["Type"].lower(),
            sampler=optuna.samplers.TPESampler(seed=seed, constant_liar=True)
            if bayesian
            else optuna.samplers.RandomSampler(seed=seed),
            pruner=_pruner(config),
        )
        self._ranges = config["ParameterRanges"]
        self._trials: dict[int, optuna.trial.Trial] = {}
        self._reported: dict[int, int] = {}

    def propose(self) -> tuple[int, Tried]:
        """Return what optuna asks for."""
        trial = self._study.ask()
        self._trials[trial.number] = trial
        return trial.number, _draw(trial, self._ranges)

    def hopeless(self, number: int, values: list[float]) -> bool:
        """Ask the pruner, which sees each value as one step (an epoch, as a rule)."""
        trial = self._trials[number]
        for step in range(self._reported.get(number, 0), len(values)):
            trial.report(values[step], step + 1)
            self._reported[number] = step + 1
            if trial.should_prune():
                return True
        return False

    def learn(self, number: int, value: float | None) -> None:
        """Tell optuna."""
        trial = self._trials.pop(number)
        if value is None:
            self._study.tell(trial, state=optuna.trial.TrialState.FAIL)
        else:
            self._study.tell(trial, value)


def _pruner(config: Record) -> optuna.pruners.BasePruner:
    if config["Strategy"] == "Hyperband":
        said = config.get("StrategyConfig", {}).get("HyperbandStrategyConfig", {})
        return optuna.pruners.HyperbandPruner(
            min_resource=said.get("MinResource", 1),
            max_resource=said.get("MaxResource", "auto"),
        )
    if config.get("TrainingJobEarlyStoppingType") == "Auto":
        return optuna.pruners.MedianPruner()
    return optuna.pruners.NopPruner()


def _draw(trial: optuna.trial.Trial, ranges: Record) -> Tried:
    """Draw a value for each range; the API has them all as strings."""
    drawn: Tried = {}
    for one in ranges.get("CategoricalParameterRanges", []):
        drawn[one["Name"]] = str(trial.suggest_categorical(one["Name"], one["Values"]))
    for one in ranges.get("IntegerParameterRanges", []):
        low, high, log = int(one["MinValue"]), int(one["MaxValue"]), _is_log(one)
        drawn[one["Name"]] = str(trial.suggest_int(one["Name"], low, high, log=log))
    for one in ranges.get("ContinuousParameterRanges", []):
        name, low_, high_ = one["Name"], float(one["MinValue"]), float(one["MaxValue"])
        if one.get("ScalingType") == "ReverseLogarithmic":  # fine steps near 1
            drawn[name] = repr(1 - trial.suggest_float(name, 1 - high_, 1 - low_, log=True))
        else:
            drawn[name] = repr(trial.suggest_float(name, low_, high_, log=_is_log(one)))
    return drawn


def _is_log(one: Record) -> bool:
    return bool(one.get("ScalingType") == "Logarithmic")
