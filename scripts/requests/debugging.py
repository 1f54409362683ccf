"""CreateTrainingJob's fields for AWS's own rules of SageMaker Debugger. Pure functions.

The job records without them, and Kennel's rules run in it; these are for those who have AWS's too.
"""

from typing import Any

from debugger.records import ACTIVATIONS, INPUTS, LOSSES
from scripts.requests.request import Request, given
from scripts.spec import Experiment, managed
from train.config import TrainConfig, from_hyperparameters

# Source: ProfilingIntervalInMilliseconds in the SageMaker API.
_INTERVALS_MS = (100, 200, 500, 1000, 5000, 60_000)
# What AWS's rules read is smdebug's: this has it beside the job's own hooks (docs/debugger.md).
_SMDEBUG = {"smdebug": "true"}
# smdebug has no such collections and refuses those without a pattern; this matches no tensor.
_OURS_ALONE = {"include_regex": "(?!)"}
_FIELDS = (
    "DebugHookConfig",
    "DebugRuleConfigurations",
    "ProfilerConfig",
    "ProfilerRuleConfigurations",
)


def fields(experiment: Experiment) -> dict[str, Any]:
    """What CreateTrainingJob says of AWS's rules; nothing where the experiment names none."""
    names = experiment.debugger.managed_rules if experiment.debugger else []
    if not names:
        return {}
    assert experiment.region, "the spec asks for a region beside managed_rules"
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
    """The same job on an account that has no Debugger."""
    kept = {key: value for key, value in request.parameters.items() if key not in _FIELDS}
    return Request(request.service, request.operation, kept)


def _rule(name: str, image: str | None) -> dict[str, Any]:
    return {
        "RuleConfigurationName": name,
        "RuleEvaluatorImage": image,
        "RuleParameters": {"rule_to_invoke": name},
    }


def _hook(experiment: Experiment, config: TrainConfig, rules: list[str]) -> dict[str, Any]:
    """The collections that the job records anyway, and those that a rule needs."""
    own = [name.strip() for name in config.debugger_collections.split(",") if name.strip()]
    needed = [name for rule in rules for name in managed.rules("debugger")[rule]]
    every = {"save_interval": str(config.debugger_interval)}
    special = {
        LOSSES: {"save_interval": "1"},  # as the job records them anyway
        **dict.fromkeys((ACTIVATIONS, INPUTS), every | _OURS_ALONE),
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
    asked = config.profiler_interval * 1000
    nearest = min(_INTERVALS_MS, key=lambda interval: abs(interval - asked))
    return {"S3OutputPath": experiment.output, "ProfilingIntervalInMilliseconds": nearest}
