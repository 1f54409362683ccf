"""Which hyperparameters a tuning job tries next: every combination (Grid), or optuna's proposals.

Bayesian is optuna's TPE, Hyperband its pruner over random proposals. SageMaker draws other values.
"""

import itertools
import math
import re
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import optuna

from emulator.contract import Record

Hyperparameters = dict[str, str]
# Static hyperparameters in which Hyperband looks for the largest number of epochs.
EPOCHS = ("epochs", "numepochs", "n-epochs", "n_epochs", "num_epochs")


class Search(Protocol):
    """Proposes hyperparameters and learns from the results."""

    def propose(self) -> tuple[int, Hyperparameters] | None:
        """Return a trial's number and hyperparameters, or None if there are no more."""

    def should_stop(self, number: int, values: list[float]) -> bool:
        """Whether to stop a trial, given its objective values so far."""

    def learn(self, number: int, value: float | None, values: Sequence[float] = ()) -> None:
        """Learn a trial's final objective value, or None if it has none, and all its values."""

    def remember(self, tuned: Hyperparameters, value: float) -> None:
        """Learn from a trial of another tuning job (warm start)."""


def max_resource(config: Record, static: Record) -> int | None:
    """Return Hyperband's MaxResource, as given or as in the static hyperparameters, if at all."""
    given: Record = config.get("StrategyConfig", {}).get("HyperbandStrategyConfig", {})
    found = [static[name] for name in EPOCHS if name in static]
    numbers = [int(text) for text in found if re.fullmatch("[0-9]{1,9}", text)]
    return given.get("MaxResource", numbers[0] if numbers else None)


def make(name: str, config: Record, static: Record) -> Search:
    """Return the search of a tuning job that has been checked.

    The same job name and RandomSeed give the same proposals.

    Args:
        name: the job's.
        config: its HyperParameterTuningJobConfig.
        static: its static hyperparameters.
    """
    kind = Grid if config["Strategy"] == "Grid" else Optuna
    return kind(name, config, max_resource(config, static))


def combinations(ranges: Record) -> Iterator[Hyperparameters]:
    """Yield every combination of the categorical ranges."""
    categories = ranges.get("CategoricalParameterRanges", [])
    names = [category["Name"] for category in categories]
    for values in itertools.product(*(category["Values"] for category in categories)):
        yield dict(zip(names, values, strict=True))


def count(ranges: Record) -> int:
    """Return how many combinations there are, without making them."""
    return math.prod(
        len(category["Values"]) for category in ranges.get("CategoricalParameterRanges", [])
    )


class Optuna:
    """Random, Bayesian and Hyperband."""

    def __init__(self, name: str, config: Record, most: int | None = None) -> None:
        optuna.logging.disable_default_handler()
        seed = config.get("RandomSeed")
        bayesian = config["Strategy"] == "Bayesian"
        self._study = optuna.create_study(
            study_name=name,  # Hyperband assigns brackets by the study's name
            direction=config["HyperParameterTuningJobObjective"]["Type"].lower(),
            sampler=optuna.samplers.TPESampler(seed=seed, constant_liar=True)
            if bayesian
            else optuna.samplers.RandomSampler(seed=seed),
            pruner=_pruner(config, most),
        )
        self._ranges = config["ParameterRanges"]
        self._trials: dict[int, optuna.trial.Trial] = {}
        self._reported: dict[int, int] = {}

    def propose(self) -> tuple[int, Hyperparameters] | None:
        """Return optuna's next proposal."""
        trial = self._ask()
        return trial.number, _draw(trial, self._ranges)

    def _ask(self) -> optuna.trial.Trial:
        trial = self._study.ask()
        self._trials[trial.number] = trial
        return trial

    def should_stop(self, number: int, values: list[float]) -> bool:
        """Ask the pruner. It counts each value as one step (usually an epoch)."""
        trial = self._trials[number]
        for step in range(self._reported.get(number, 0), len(values)):
            trial.report(values[step], step + 1)
            self._reported[number] = step + 1
            if trial.should_prune():
                return True
        return False

    def learn(self, number: int, value: float | None, values: Sequence[float] = ()) -> None:
        """Pass the final value to optuna, and the values that no check for a stop has seen."""
        while self._reported.get(number, 0) < len(values):
            self.should_stop(number, list(values))  # the pruner compares later trials with these
        trial = self._trials.pop(number)
        if value is None:
            self._study.tell(trial, state=optuna.trial.TrialState.FAIL)
        else:
            self._study.tell(trial, value)

    def remember(self, tuned: Hyperparameters, value: float) -> None:
        """Add a finished trial to optuna's study, if its values lie in this job's ranges."""
        fixed = optuna.trial.FixedTrial(dict(_typed(tuned, self._ranges)))
        try:
            _draw(fixed, self._ranges)
        except (KeyError, ValueError):  # a hyperparameter that is not tuned here, or not so far
            return
        self._study.add_trial(
            optuna.trial.create_trial(
                params=fixed.params, distributions=fixed.distributions, value=value
            )
        )


class Grid(Optuna):
    """Every combination, once; optuna only says which trials to stop early."""

    def __init__(self, name: str, config: Record, most: int | None = None) -> None:
        super().__init__(name, config, most)
        self._remaining = combinations(config["ParameterRanges"])

    def propose(self) -> tuple[int, Hyperparameters] | None:
        """Return the next combination."""
        combination = next(self._remaining, None)
        return None if combination is None else (self._ask().number, combination)


def _typed(tuned: Hyperparameters, ranges: Record) -> Iterator[tuple[str, Any]]:
    """Yield a trial's hyperparameters as `_draw` gives them to optuna."""
    for range_ in ranges.get("CategoricalParameterRanges", []):
        if tuned.get(range_["Name"]) in range_["Values"]:
            yield range_["Name"], tuned[range_["Name"]]
    for kind in ("IntegerParameterRanges", "ContinuousParameterRanges"):
        for range_ in ranges.get(kind, []):
            name = range_["Name"]
            if name not in tuned:
                continue
            value = float(tuned[name])
            if not float(range_["MinValue"]) <= value <= float(range_["MaxValue"]):
                continue
            if kind == "IntegerParameterRanges":
                yield name, int(value)
            else:
                yield (
                    name,
                    1 - value if range_.get("ScalingType") == "ReverseLogarithmic" else value,
                )


def _pruner(config: Record, most: int | None) -> optuna.pruners.BasePruner:
    if config["Strategy"] == "Hyperband":
        given = config.get("StrategyConfig", {}).get("HyperbandStrategyConfig", {})
        return optuna.pruners.HyperbandPruner(
            min_resource=given.get("MinResource", 1),
            max_resource=most or "auto",
        )
    if config.get("TrainingJobEarlyStoppingType") == "Auto":
        return optuna.pruners.MedianPruner()
    return optuna.pruners.NopPruner()


def _draw(trial: optuna.trial.BaseTrial, ranges: Record) -> Hyperparameters:
    """Draw a value for each range. In the API all values are strings."""
    drawn: Hyperparameters = {}
    for range_ in ranges.get("CategoricalParameterRanges", []):
        drawn[range_["Name"]] = str(trial.suggest_categorical(range_["Name"], range_["Values"]))
    for range_ in ranges.get("IntegerParameterRanges", []):
        low, high, log = int(range_["MinValue"]), int(range_["MaxValue"]), _is_log(range_)
        drawn[range_["Name"]] = str(trial.suggest_int(range_["Name"], low, high, log=log))
    for range_ in ranges.get("ContinuousParameterRanges", []):
        name, low_, high_ = range_["Name"], float(range_["MinValue"]), float(range_["MaxValue"])
        if range_.get("ScalingType") == "ReverseLogarithmic":  # fine steps near 1
            drawn[name] = repr(1 - trial.suggest_float(name, 1 - high_, 1 - low_, log=True))
        else:
            drawn[name] = repr(trial.suggest_float(name, low_, high_, log=_is_log(range_)))
    return drawn


def _is_log(range_: Record) -> bool:
    return bool(range_.get("ScalingType") == "Logarithmic")
