"""What SageMaker refuses of a tuning job beyond its model, and what is not emulated."""

from emulator.contract import Record
from emulator.errors import Invalid, LimitExceeded
from emulator.runs import search

_NOT_EMULATED = ("TrainingJobDefinitions", "WarmStartConfig", "Autotune")
# Quotas of an account (SageMaker's "Automatic model tuning" quotas).
_MOST_JOBS, _MOST_JOBS_RANDOM, _MOST_PARALLEL = 750, 10_000, 100


def check(request: Record) -> None:
    """Refuse a request.

    Raises:
        Invalid, LimitExceeded: with the reason.
    """
    for name in _NOT_EMULATED:
        if name in request:
            raise Invalid(f"{name} is not emulated")
    if "TrainingJobDefinition" not in request:
        raise Invalid("TrainingJobDefinition must be present")
    config, definition = request["HyperParameterTuningJobConfig"], request["TrainingJobDefinition"]
    if "HyperParameterTuningJobObjective" not in config:
        raise Invalid("HyperParameterTuningJobObjective must be present")
    resources(definition)
    _check_metric(config, definition)
    _check_ranges(config, definition)
    _check_number(config)


def resources(definition: Record) -> Record:
    """Return a trial's ResourceConfig: given as such, or as HyperParameterTuningResourceConfig.

    Raises:
        Invalid: neither or both are there, or machines to choose from.
    """
    given = definition.get("HyperParameterTuningResourceConfig")
    if ("ResourceConfig" in definition) == (given is not None):
        raise Invalid(
            "Exactly one of ResourceConfig and HyperParameterTuningResourceConfig must be present"
        )
    if given is None:
        found: Record = definition["ResourceConfig"]
        return found
    choices = given.get("InstanceConfigs", [])
    if len(choices) > 1:
        raise Invalid("Several InstanceConfigs are not emulated: name one machine")
    machine = choices[0] if choices else given
    return {
        key: machine.get(key, given.get(key))
        for key in ("InstanceType", "InstanceCount", "VolumeSizeInGB", "VolumeKmsKeyId")
        if key in machine or key in given
    }


def _check_metric(config: Record, definition: Record) -> None:
    name = config["HyperParameterTuningJobObjective"]["MetricName"]
    known = [
        one["Name"] for one in definition["AlgorithmSpecification"].get("MetricDefinitions", [])
    ]
    if name not in known:
        raise Invalid(
            f"The objective metric {name!r} is not among the MetricDefinitions, which are {known}"
        )


def _check_ranges(config: Record, definition: Record) -> None:
    ranges = config.get("ParameterRanges", {})
    if ranges.get("AutoParameters"):
        raise Invalid("AutoParameters are not emulated")
    numbers = [
        one
        for kind in ("IntegerParameterRanges", "ContinuousParameterRanges")
        for one in ranges.get(kind, [])
    ]
    every = numbers + ranges.get("CategoricalParameterRanges", [])
    if not every:
        raise Invalid("You must specify at least one hyperparameter range")
    if config["Strategy"] == "Grid" and numbers:
        raise Invalid(
            "The Grid strategy supports categorical parameter ranges only, but these are not: "
            f"{[one['Name'] for one in numbers]}"
        )
    for one in numbers:
        _check_range(one)
    names = [one["Name"] for one in every] + list(definition.get("StaticHyperParameters", {}))
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise Invalid(f"Hyperparameters must be given once, as a range or static: {twice}")


def _check_range(one: Record) -> None:
    try:
        low, high = float(one["MinValue"]), float(one["MaxValue"])
    except ValueError:
        raise Invalid(f"The range of {one['Name']} is not one of numbers") from None
    if not low < high:
        raise Invalid(f"MinValue must be less than MaxValue in the range of {one['Name']}")
    scaling = one.get("ScalingType")
    if scaling == "Logarithmic" and low <= 0:
        raise Invalid(f"Logarithmic scaling needs a range above 0: {one['Name']}")
    if scaling == "ReverseLogarithmic" and not 0 <= low < high < 1:
        raise Invalid(f"ReverseLogarithmic scaling needs a range in [0, 1): {one['Name']}")


def _check_number(config: Record) -> None:
    limits, strategy = config["ResourceLimits"], config["Strategy"]
    number = limits.get("MaxNumberOfTrainingJobs")
    if strategy == "Grid":
        count = sum(1 for _ in search.combinations(config["ParameterRanges"]))
        if number is not None and number != count:
            raise Invalid(
                "MaxNumberOfTrainingJobs must equal the number of combinations of the Grid "
                f"strategy, {count}, or be left out; it is {number}"
            )
        number = count
    elif number is None:
        raise Invalid(f"MaxNumberOfTrainingJobs must be present for the {strategy} strategy")
    most = _MOST_JOBS_RANDOM if strategy == "Random" else _MOST_JOBS
    for value, limit, what in (
        (number, most, "training jobs of a tuning job"),
        (limits["MaxParallelTrainingJobs"], _MOST_PARALLEL, "parallel training jobs"),
    ):
        if value > limit:
            raise LimitExceeded(
                f"The account-level service limit for {what} is {limit}, with a request of {value}"
            )
