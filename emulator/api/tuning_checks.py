"""What SageMaker refuses in a tuning job in addition to its model, and what is not emulated."""

from emulator.contract import Record
from emulator.errors import Invalid, LimitExceeded
from emulator.runs import search

_NOT_EMULATED = ("TrainingJobDefinitions", "WarmStartConfig", "Autotune")
# Account quotas ("Automatic model tuning" in SageMaker's quotas).
_MAX_JOBS, _MAX_JOBS_RANDOM, _MAX_PARALLEL = 750, 10_000, 100


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
    _check_metric(config, definition)
    _check_ranges(config, definition)
    _check_number(config)


def _check_metric(config: Record, definition: Record) -> None:
    name = config["HyperParameterTuningJobObjective"]["MetricName"]
    metrics = definition["AlgorithmSpecification"].get("MetricDefinitions", [])
    known = [metric["Name"] for metric in metrics]
    if name not in known:
        raise Invalid(f"The objective metric {name!r} is not among the MetricDefinitions {known}")


def _check_ranges(config: Record, definition: Record) -> None:
    ranges = config.get("ParameterRanges", {})
    if ranges.get("AutoParameters"):
        raise Invalid("AutoParameters are not emulated")
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
        _check_range(number)
    names = [range_["Name"] for range_ in all_ranges] + list(
        definition.get("StaticHyperParameters", {})
    )
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise Invalid(f"Hyperparameters are given twice, as a range or static: {repeated}")


def _check_range(range_: Record) -> None:
    try:
        low, high = float(range_["MinValue"]), float(range_["MaxValue"])
    except ValueError:
        raise Invalid(f"The range of {range_['Name']} is not numeric") from None
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
        count = sum(1 for _ in search.combinations(config["ParameterRanges"]))
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
