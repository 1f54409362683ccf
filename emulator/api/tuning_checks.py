"""What SageMaker refuses in a tuning job in addition to its model, and what is not emulated."""

import math

from emulator.contract import Record
from emulator.errors import Invalid, LimitExceeded
from emulator.runs import search
from emulator.runs.running import LIVE
from emulator.runs.tuning_run import tuned_names

# Account quotas ("Automatic model tuning" in SageMaker's quotas).
_MAX_JOBS, _MAX_JOBS_RANDOM, _MAX_PARALLEL = 750, 10_000, 100


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
    names += definition.get("StaticHyperParameters", {})
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise Invalid(f"Hyperparameters are given twice, as a range or static: {repeated}")


def _check_range(range_: Record, *, whole: bool) -> None:
    try:
        convert = int if whole else float
        low, high = convert(range_["MinValue"]), convert(range_["MaxValue"])
    except ValueError:
        kind = "integers" if whole else "numbers"
        values = f"{range_['MinValue']!r} and {range_['MaxValue']!r}"
        raise Invalid(
            f"MinValue and MaxValue of the range of {range_['Name']} must be {kind}: {values}"
        ) from None
    if not math.isfinite(low) or not math.isfinite(high):
        raise Invalid(f"MinValue and MaxValue must be finite in the range of {range_['Name']}")
    if not low < high:
        raise Invalid(f"MinValue must be less than MaxValue in the range of {range_['Name']}")
    scaling = range_.get("ScalingType")
    if scaling == "Logarithmic" and low <= 0:
        raise Invalid(f"Logarithmic scaling needs MinValue above 0: {range_['Name']}")
    if scaling == "ReverseLogarithmic" and not 0 <= low < high < 1:
        raise Invalid(f"ReverseLogarithmic scaling needs a range in [0, 1): {range_['Name']}")


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
