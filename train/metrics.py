"""The metrics of a training job: the printed lines, and the regexes that CloudWatch finds them by.

Both come from the same table. This module imports no torch.
"""

import json
import math
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_NUMBER = r"([-+]?[0-9]*\.?[0-9]+(?:[eE][-+]?[0-9]+)?)"
# A line of `emit`, after what other programs write before it.
_POINT = re.compile(r"\[metric\] ([\w:]{1,60})=([-+.\deE]{1,30}) epoch=(\d{1,9})\s*$")
_LONGEST = 200


@dataclass(frozen=True)
class Metric:
    """One figure of a job, under the name that CloudWatch and tuning jobs use."""

    name: str
    meaning: str

    @property
    def regex(self) -> str:
        """A CloudWatch metric regex whose only group is the value."""
        return rf"\[metric\] {self.name}={_NUMBER} "

    def line(self, value: float, epoch: int) -> str:
        """Return the log line, newline included."""
        return f"[metric] {self.name}={value:.8g} epoch={epoch}\n"


METRICS = {
    metric.name: metric
    for metric in (
        Metric("train:loss", "mean loss over the epoch's training pictures, as optimised"),
        Metric(
            "train:accuracy",
            "share of them classified right during training, augmented; for a picture that MixUp "
            "or CutMix made of two, the right class is that with the larger share",
        ),
        Metric("train:learning_rate", "the head's learning rate at the end of the epoch"),
        Metric("train:images_per_second", "training pictures a second over all processes"),
        Metric("validation:loss", "mean cross-entropy of the validation pictures"),
        Metric("validation:accuracy", "top-1: the objective for tuning"),
        Metric("validation:top5_accuracy", "share with the right class among the five most likely"),
        Metric("validation:macro_f1", "F1 averaged over classes with equal weight"),
        Metric("test:loss", "mean cross-entropy of the test pictures, measured once at the end"),
        Metric("test:accuracy", "top-1 of the best weights"),
        Metric("test:top5_accuracy", "top-5 of the best weights"),
        Metric("test:macro_f1", "F1 averaged over classes"),
    )
}

OBJECTIVE = METRICS["validation:accuracy"]


def emit(name: str, value: float, epoch: int) -> None:
    """Print one metric in one write, so that no other process can write into its line.

    A value that is not finite is printed as a plain line, because CloudWatch would refuse it.
    """
    line = METRICS[name].line(value, epoch)
    if not math.isfinite(value):
        line = f"{name} is {value} in epoch {epoch}\n"
    sys.stdout.write(line)
    sys.stdout.flush()


def point(line: str) -> tuple[str, int, float] | None:
    """Return name, epoch and value from a line of `emit`; None for any other line."""
    found = _POINT.search(line[-_LONGEST:])
    try:
        return (found[1], int(found[3]), float(found[2])) if found else None
    except ValueError:
        return None


def emit_trial(facts: Mapping[str, object]) -> None:
    """Print the result of one trial of a sweep in one write."""
    sys.stdout.write(f"[trial] {to_json(facts)}\n")
    sys.stdout.flush()


def to_json(value: object, *, indent: int | None = None, ascii_only: bool = True) -> str:
    """Return JSON, with null for each number that JSON cannot hold: NaN and the infinities."""
    return json.dumps(_finite(value), indent=indent, ensure_ascii=ascii_only, allow_nan=False)


def _finite(value: object) -> object:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {name: _finite(item) for name, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_finite(item) for item in value]
    return value


def trial(line: str) -> dict[str, Any] | None:
    """Return the facts in a line of `emit_trial`; None for any other line."""
    found = re.match(r"\[trial\] (\{.*\})\s*$", line)
    try:
        facts: dict[str, Any] | None = json.loads(found[1]) if found else None
    except (ValueError, RecursionError):
        return None
    return facts if facts and isinstance(facts.get("trial"), int) else None


def definitions() -> list[dict[str, str]]:
    """Return SageMaker's `MetricDefinitions`."""
    return [{"Name": metric.name, "Regex": metric.regex} for metric in METRICS.values()]
