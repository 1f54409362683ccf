"""The fields of CreateTrainingJob for AWS's own Debugger rules. Pure functions.

The job records and Kennel's rules run without them; these add AWS's rules.
"""

from typing import Any

from debugger.records import ACTIVATIONS, INPUTS, LOSSES
from scripts.requests.request import Request, given
from scripts.spec import Experiment, managed
from train.config import TrainConfig, from_hyperparameters

# Source: ProfilingIntervalInMilliseconds in the SageMaker API.
_INTERVALS_MS = (100, 200, 500, 1000, 5000, 60_000)
# AWS's rules read smdebug's files: the job then writes them too (docs/debugger.md).
_SMDEBUG = {"smdebug": "true"}
# smdebug lacks these collections and needs a pattern for each; this one matches no tensor.
_MATCHES_NOTHING = {"include_regex": "(?!)"}
_FIELDS = (
    "DebugHookConfig",
    "DebugRuleConfigurations",
    "ProfilerConfig",
    "ProfilerRuleConfigurations",
)


def fields(experiment: Experiment) -> dict[str, Any]:
    """The fields for AWS's rules; empty if the experiment names none."""
    names = experiment.debugger.managed_rules if experiment.debugger else []
    if not names:
        return {}
    assert experiment.region, "the spec requires a region with managed_rules"
    image = managed.image(experiment.region)
    config = from_hyperparameters(experiment.settings())
    tensors = [name for name in names if name in managed.rules("debugger")]
    system = [name for name in names if name in managed.rules("profiler")]
    return given(
        {
            "DebugHookConfig": _hook(experiment, config, tensors),
            "DebugRuleConfigurations": [_rule(name, image) for name in tensors],
            "ProfilerConfig": _profiler(experiment, config) if system else None,
            "ProfilerRuleConfigurations": [_rule(name, image) for name in system],
        }
    )


def without(request: Request) -> Request:
    """The same job without AWS's rules, for accounts without SageMaker Debugger."""
    remaining = {key: value for key, value in request.parameters.items() if key not in _FIELDS}
    return Request(request.service, request.operation, remaining)


def _rule(name: str, image: str | None) -> dict[str, Any]:
    return {
        "RuleConfigurationName": name,
        "RuleEvaluatorImage": image,
        "RuleParameters": {"rule_to_invoke": name},
    }


def _hook(experiment: Experiment, config: TrainConfig, rules: list[str]) -> dict[str, Any]:
    """The collections that the job records by itself, and those that a rule needs."""
    own = [name.strip() for name in config.debugger_collections.split(",") if name.strip()]
    needed = [name for rule in rules for name in managed.rules("debugger")[rule]]
    every = {"save_interval": str(config.debugger_interval)}
    special = {
        LOSSES: {"save_interval": "1"},  # the job records every step too
        **dict.fromkeys((ACTIVATIONS, INPUTS), every | _MATCHES_NOTHING),
    }
    return {
        "S3OutputPath": experiment.output,
        "HookParameters": every | _SMDEBUG,
        "CollectionConfigurations": [
            {
                "CollectionName": name,
                "CollectionParameters": special.get(name, every),
            }
            for name in dict.fromkeys([*own, *needed])
        ],
    }


def _profiler(experiment: Experiment, config: TrainConfig) -> dict[str, Any]:
    wanted = config.profiler_interval * 1000
    nearest = min(_INTERVALS_MS, key=lambda interval: abs(interval - wanted))
    return {"S3OutputPath": experiment.output, "ProfilingIntervalInMilliseconds": nearest}
