"""Creates the rules from their settings: built-in rules and rules of other packages."""

import difflib
from collections.abc import Mapping
from importlib.metadata import entry_points
from typing import Any

from pydantic import ValidationError

from debugger.rules.profiler.gpu import (
    BatchSize,
    CPUBottleneck,
    IOBottleneck,
    LoadBalancing,
    LowGPUUtilization,
)
from debugger.rules.profiler.initialisation import MaxInitializationTime
from debugger.rules.profiler.loading import Dataloader
from debugger.rules.profiler.memory import GPUMemoryIncrease, MemoryIncrease
from debugger.rules.profiler.outliers import StepOutlier
from debugger.rules.profiler.overview import (
    OverallFrameworkMetrics,
    OverallSystemUsage,
    ProfilerReport,
)
from debugger.rules.rule import Rule
from debugger.rules.tensor.activations import DeadRelu, SaturatedActivation
from debugger.rules.tensor.classes import ClassImbalance, Confusion
from debugger.rules.tensor.gradients import VanishingGradient
from debugger.rules.tensor.inputs import CheckInputImages
from debugger.rules.tensor.losses import LossNotDecreasing, Overfit, Overtraining
from debugger.rules.tensor.runs import SimilarAcrossRuns
from debugger.rules.tensor.stalled import StalledTraining
from debugger.rules.tensor.tensors import AllZero, ExplodingTensor, TensorVariance, UnchangedTensor
from debugger.rules.tensor.weights import PoorWeightInitialization, WeightUpdateRatio

ENTRY_POINTS = "kennel.rules"
BUILT_IN: tuple[type[Rule], ...] = (
    # tensors
    *(VanishingGradient, ExplodingTensor, PoorWeightInitialization, SaturatedActivation, DeadRelu),
    *(WeightUpdateRatio, AllZero, UnchangedTensor, TensorVariance, CheckInputImages),
    *(LossNotDecreasing, Overfit, Overtraining, ClassImbalance, Confusion, StalledTraining),
    SimilarAcrossRuns,
    # host, GPUs and timeline
    *(BatchSize, CPUBottleneck, IOBottleneck, Dataloader, GPUMemoryIncrease, MemoryIncrease),
    *(LoadBalancing, LowGPUUtilization, StepOutlier, MaxInitializationTime),
    *(OverallSystemUsage, OverallFrameworkMetrics, ProfilerReport),
)


class RuleSettingsError(ValueError):
    """The rule settings are wrong; the message lists every problem, one per line."""


def make(settings: Mapping[str, Any]) -> list[Rule]:
    """Return all rules with the given settings.

    Args:
        settings: rule name to parameters; `false` switches a rule off, `true` means the defaults.
            All other rules run with their defaults.

    Raises:
        RuleSettingsError: lists every unknown rule and every unknown or invalid parameter.
    """
    known, problems = _known()
    for name in settings:
        if name not in known:
            problems.append(f"{name}: no such rule{_nearest(name, known)}")
    rules: list[Rule] = []
    for name, rule in known.items():
        given = settings.get(name, True)
        if given is False:
            continue
        if given is not True and not isinstance(given, Mapping):
            problems.append(f"{name}: must be an object of parameters, or false (given {given!r})")
            continue
        try:
            rules.append(rule(rule.Parameters.model_validate({} if given is True else given)))
        except ValidationError as error:
            problems += (_problem(name, rule, dict(item)) for item in error.errors())
    profilers = [rule for rule in rules if rule.kind == "profiler"]
    for report in profilers:
        if isinstance(report, ProfilerReport):
            report.rules = [rule for rule in profilers if rule is not report]
    if problems:
        raise RuleSettingsError("wrong rule settings:\n  " + "\n  ".join(problems))
    return rules


def _known() -> tuple[dict[str, type[Rule]], list[str]]:
    """Return built-in rules and rules of other packages by name, and the problems found."""
    known = {rule.__name__: rule for rule in BUILT_IN}
    problems = []
    for point in sorted(entry_points(group=ENTRY_POINTS), key=lambda point: point.name):
        try:
            rule = point.load()
        except Exception as error:
            problems.append(f"{point.name}: {point.value} does not load ({error!r})")
            continue
        if not (isinstance(rule, type) and issubclass(rule, Rule)):
            problems.append(f"{point.name}: {point.value} is not a subclass of debugger.rules.Rule")
        elif rule.__name__ != point.name:
            problems.append(f"{point.name}: the entry point must be named {rule.__name__}")
        elif point.name in known:
            problems.append(f"{point.name}: {point.value} has the same name as another rule")
        else:
            known[point.name] = rule
    return known, problems


def _problem(name: str, rule: type[Rule], item: Mapping[str, Any]) -> str:
    where = ".".join(str(part) for part in item["loc"])
    if item["type"] == "extra_forbidden":
        return f"{name}.{where}: no such parameter{_nearest(where, rule.Parameters.model_fields)}"
    shown = f" (given {item['input']!r})" if where else ""
    return f"{name}.{where}: {item['msg'].removeprefix('Value error, ')}{shown}"


def _nearest(name: str, known: Mapping[str, object]) -> str:
    folded = {item.lower(): item for item in known}
    near = difflib.get_close_matches(name.lower(), folded, n=1)
    return f" (did you mean {folded[near[0]]}?)" if near else ""
