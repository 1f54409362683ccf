"""What SageMaker refuses in a tuning job in addition to its model, and what is not emulated."""

import math
import re

from emulator.contract import Record
from emulator.errors import Invalid, LimitExceeded
from emulator.runs import search
from emulator.runs.running import LIVE
from emulator.runs.tuning_run import tuned_names

# Account quotas ("Automatic model tuning" in SageMaker's quotas).
_MAX_JOBS, _MAX_JOBS_RANDOM, _MAX_PARALLEL = 750, 10_000, 100
_MAX_RANGES = 30  # of all kinds together, as the API's documentation has it
_MAX_HYPERPARAMETERS = 100  # of a training job
_MAX_EPOCHS = 20_000  # of Hyperband
# Python reads `1_000`, ` 1` and digits of other scripts as numbers, too; SageMaker does not.
_INTEGER = re.compile(r"[+-]?[0-9]{1,19}")
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_LARGEST = 2**63 - 1


def check(request: Record) -> None:
    """Refuse a request.

    Raises:
        Invalid, LimitExceeded: with the reason.
    """
    if "TrainingJobDefinition" not in request:
        raise Invalid("TrainingJobDefinition must be present")
    config, definition = request["HyperParameterTuningJobConfig"], request["TrainingJobDefinition"]
    if "HyperParameterTuningJobObjective" not in config:
        raise Invalid("HyperParameterTuningJobObjective must be present")
    _check_metric(config, definition)
    _check_ranges(config, definition)
    _check_number(config)
    _check_strategy(config, definition)
    if parents(request) and config["Strategy"] not in ("Bayesian", "Random"):
        raise Invalid(
            f"WarmStartConfig: the {config['Strategy']} strategy learns nothing from other tuning "
            "jobs here: use Bayesian or Random"
        )


def parents(request: Record) -> list[str]:
    """Return the names of the tuning jobs that a warm start goes on from."""
    given = request.get("WarmStartConfig", {}).get("ParentHyperParameterTuningJobs", [])
    return [parent["HyperParameterTuningJobName"] for parent in given]


def check_parent(parent: Record, request: Record) -> None:
    """Refuse a parent that a warm start cannot go on from.

    Raises:
        Invalid: it has not ended, or has another objective, image or other hyperparameters.
    """
    name, status = parent["HyperParameterTuningJobName"], parent["HyperParameterTuningJobStatus"]
    if status in LIVE:
        raise Invalid(
            f"WarmStartConfig: the parent tuning job {name} is {status}: wait for its end"
        )
    objectives = [
        job["HyperParameterTuningJobConfig"]["HyperParameterTuningJobObjective"]
        for job in (parent, request)
    ]
    if objectives[0] != objectives[1]:
        raise Invalid(
            f"WarmStartConfig: the objective {objectives[1]} is not that of the parent {name}, "
            f"{objectives[0]}"
        )
    if tuned_names(parent) != tuned_names(request):
        raise Invalid(
            "WarmStartConfig: static and tuned hyperparameters together must be those of the "
            f"parent {name}: {sorted(tuned_names(parent) ^ tuned_names(request))} are in one only"
        )
    images = {
        job["TrainingJobDefinition"]["AlgorithmSpecification"]["TrainingImage"]
        for job in (parent, request)
    }
    kind = request["WarmStartConfig"]["WarmStartType"]
    if kind == "IdenticalDataAndAlgorithm" and len(images) > 1:
        raise Invalid(
            f"WarmStartConfig: {kind} needs the image of the parent {name}, but the images are "
            f"{sorted(images)}: use TransferLearning for another image"
        )


def _check_metric(config: Record, definition: Record) -> None:
    name = config["HyperParameterTuningJobObjective"]["MetricName"]
    metrics = definition["AlgorithmSpecification"].get("MetricDefinitions", [])
    known = [metric["Name"] for metric in metrics]
    if name not in known:
        raise Invalid(f"The objective metric {name!r} is not among the MetricDefinitions {known}")


def _check_ranges(config: Record, definition: Record) -> None:
    ranges = config.get("ParameterRanges", {})
    numbers = [
        number
        for kind in ("IntegerParameterRanges", "ContinuousParameterRanges")
        for number in ranges.get(kind, [])
    ]
    all_ranges = numbers + ranges.get("CategoricalParameterRanges", [])
    if not all_ranges:
        raise Invalid("You must specify at least one hyperparameter range")
    if config["Strategy"] == "Grid" and numbers:
        raise Invalid(
            "The Grid strategy supports categorical parameter ranges only, but these are not: "
            f"{[number['Name'] for number in numbers]}"
        )
    for number in numbers:
        _check_range(number, whole=number in ranges.get("IntegerParameterRanges", []))
    names = [range_["Name"] for range_ in all_ranges]
    if len(names) > _MAX_RANGES:
        raise Invalid(
            f"At most {_MAX_RANGES} hyperparameters can be tuned, but {len(names)} have ranges"
        )
    names += definition.get("StaticHyperParameters", {})
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise Invalid(f"Hyperparameters are given twice, as a range or static: {repeated}")
    if len(names) > _MAX_HYPERPARAMETERS:
        raise Invalid(
            f"A training job has at most {_MAX_HYPERPARAMETERS} hyperparameters, but static and "
            f"tuned ones together are {len(names)}"
        )


def _check_range(range_: Record, *, whole: bool) -> None:
    texts = range_["MinValue"], range_["MaxValue"]
    if not all((_INTEGER if whole else _NUMBER).fullmatch(text) for text in texts):
        kind = "integers" if whole else "numbers"
        values = f"{texts[0]!r} and {texts[1]!r}"
        raise Invalid(
            f"MinValue and MaxValue of the range of {range_['Name']} must be {kind}: {values}"
        )
    low, high = map(int if whole else float, texts)
    if whole and max(abs(low), abs(high)) > _LARGEST:
        raise Invalid(f"MinValue or MaxValue of the range of {range_['Name']} exceeds {_LARGEST}")
    if not math.isfinite(low) or not math.isfinite(high):
        raise Invalid(f"MinValue and MaxValue must be finite in the range of {range_['Name']}")
    if not whole and not math.isfinite(high - low):
        raise Invalid(
            f"The range of {range_['Name']} is too wide: MaxValue minus MinValue must be a finite "
            "64-bit float"
        )
    if not low < high:
        raise Invalid(f"MinValue must be less than MaxValue in the range of {range_['Name']}")
    scaling = range_.get("ScalingType")
    if scaling == "Logarithmic" and low <= 0:
        raise Invalid(f"Logarithmic scaling needs MinValue above 0: {range_['Name']}")
    if scaling == "ReverseLogarithmic" and not 0 <= low < high < 1:
        raise Invalid(f"ReverseLogarithmic scaling needs a range in [0, 1): {range_['Name']}")


def _check_strategy(config: Record, definition: Record) -> None:
    """Refuse what only Hyperband has, and what Hyperband does not have."""
    strategy, given = config["Strategy"], config.get("StrategyConfig", {})
    if strategy != "Hyperband":
        if given:
            raise Invalid(f"StrategyConfig is for the Hyperband strategy only, not for {strategy}")
        return
    if config.get("TrainingJobEarlyStoppingType", "Off") != "Off":
        raise Invalid("TrainingJobEarlyStoppingType must be Off: Hyperband stops jobs by itself")
    least = given.get("HyperbandStrategyConfig", {}).get("MinResource", 1)
    most = search.max_resource(config, definition.get("StaticHyperParameters", {}))
    if most is None:
        raise Invalid(
            "HyperbandStrategyConfig: MaxResource must be present, or one of the static "
            f"hyperparameters {', '.join(search.EPOCHS)} must be a number of epochs"
        )
    if not least <= most <= _MAX_EPOCHS:
        raise Invalid(
            f"HyperbandStrategyConfig: MaxResource must be from MinResource, {least}, to "
            f"{_MAX_EPOCHS}, not {most}"
        )


def _check_number(config: Record) -> None:
    limits, strategy = config["ResourceLimits"], config["Strategy"]
    number = limits.get("MaxNumberOfTrainingJobs")
    if strategy == "Grid":
        count = search.count(config["ParameterRanges"])
        if number is not None and number != count:
            raise Invalid(
                "MaxNumberOfTrainingJobs must equal the number of combinations of the Grid "
                f"strategy, {count}, or be omitted; it is {number}"
            )
        number = count
    elif number is None:
        raise Invalid(f"MaxNumberOfTrainingJobs must be present for the {strategy} strategy")
    max_jobs = _MAX_JOBS_RANDOM if strategy == "Random" else _MAX_JOBS
    for value, limit, what in (
        (number, max_jobs, "training jobs of a tuning job"),
        (limits["MaxParallelTrainingJobs"], _MAX_PARALLEL, "parallel training jobs"),
    ):
        if value > limit:
            raise LimitExceeded(
                f"The account-level service limit for {what} is {limit}, with a request of {value}"
            )
