"""`[debugger]` and `[profiler]`: what a job records about itself, and the rules that check it.

The settings reach the job as hyperparameters, so they work on every account and in tuning jobs.
Keys that are not set have the defaults of the job: see `kennel hyperparameters`.
"""

import json
from collections.abc import Iterator
from typing import Any

from pydantic import Field

from scripts.spec import managed
from scripts.spec.section import Scalar, Section

# Source: HyperParameterValue in the SageMaker API.
_MAX_LENGTH = 2500


class _Recorded(Section):
    def hyperparameters(self) -> dict[str, tuple[str, Scalar]]:
        """The keys that are set: key in the section -> name and value of the hyperparameter."""
        raise NotImplementedError


class Debugger(_Recorded):
    """Losses and tensors, and the rules that check all that is recorded."""

    enabled: bool | None = Field(
        None, description="record losses and tensors, and check them with rules"
    )
    interval: int | None = Field(None, description="steps between records of tensors")
    collections: list[str] | None = Field(
        None,
        description=(
            "which tensors are recorded: `losses`, `weights`, `gradients`, `activations`, `inputs`"
        ),
    )
    raw: str | None = Field(
        None, description="a regular expression: tensors with matching names are recorded whole"
    )
    rules: dict[str, bool | dict[str, Any]] | None = Field(
        None, description='for each rule `false`, or its settings, such as `{ action = "stop" }`'
    )
    managed_rules: list[str] = Field(
        [],
        max_length=20,
        description=(
            "AWS's own rules in addition, "
            'such as `["LossNotDecreasing"]`; they need `region`. '
            "If AWS refuses them, the job starts without them; tuning jobs cannot have them"
        ),
    )

    def hyperparameters(self) -> dict[str, tuple[str, Scalar]]:
        """See the base."""
        names = None if self.collections is None else ",".join(self.collections)
        return _set(
            enabled=("debugger", self.enabled),
            interval=("debugger_interval", self.interval),
            collections=("debugger_collections", names),
            raw=("debugger_raw", self.raw),
            rules=("debugger_rules", json.dumps(self.rules) if self.rules else None),
        )

    def conflicts(self) -> Iterator[tuple[str, str]]:
        """Unknown rules, unknown settings of rules, and AWS's limits."""
        yield from (("rules", what) for what in wrong_rules(self.rules or {}))
        if len(json.dumps(json.dumps(self.rules or {}))) > _MAX_LENGTH:
            yield "rules", f"longer than SageMaker's {_MAX_LENGTH} characters: set fewer rules"
        yield from (("managed_rules", what) for what in managed.wrong(self.managed_rules))
        if self.managed_rules and self.enabled is False:
            yield "managed_rules", "they check what the debugger records: set enabled = true"


class Profiler(_Recorded):
    """The timeline, the host and the operators."""

    enabled: bool | None = Field(
        None, description="record the timeline, the host's metrics and the operators"
    )
    interval: float | None = Field(None, description="seconds between samples of the host")
    steps: str | None = Field(
        None, description="the steps that torch.profiler records, such as `10:13`; empty: none"
    )

    def hyperparameters(self) -> dict[str, tuple[str, Scalar]]:
        """See the base."""
        return _set(
            enabled=("profiler", self.enabled),
            interval=("profiler_interval", self.interval),
            steps=("profiler_steps", self.steps),
        )


def wrong_rules(given: object) -> list[str]:
    """The errors that the job would report for its rules' settings, a mapping or JSON."""
    try:
        settings = json.loads(given) if isinstance(given, str) else given
    except ValueError:
        return []
    if not settings or not isinstance(settings, dict):
        return []
    from debugger.rules import RuleSettingsError, make  # slow to import

    try:
        make(settings)
    except RuleSettingsError as error:
        return [line.strip() for line in str(error).splitlines()[1:]]
    return []


def _set(**given: tuple[str, Scalar | None]) -> dict[str, tuple[str, Scalar]]:
    return {key: (name, value) for key, (name, value) in given.items() if value is not None}
