"""Hyperparameters that are text with a form of its own: each is checked, and returned as it is."""

import json
import math
import re

from debugger.records import COLLECTIONS


def collections(text: str) -> str:
    """Check names of collections."""
    unknown = [name for name in re.findall(r"[^\s,]+", text) if name not in COLLECTIONS]
    if unknown:
        raise ValueError(f"no collection {', '.join(unknown)}: choose of {', '.join(COLLECTIONS)}")
    return text


def pattern(text: str) -> str:
    """Check a regular expression."""
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"not a regular expression: {error}") from error
    return text


def window(text: str) -> str:
    """Check a span of steps."""
    match = re.fullmatch(r"(\d+):(\d+)", text)
    if text and not (match and int(match[1]) < int(match[2])):
        raise ValueError('two step numbers such as "10:13", the first the lower, or "" for none')
    return text


def rules(text: str) -> str:
    """Check settings by rule, as JSON."""
    try:
        given = json.loads(text or "{}")
    except ValueError as error:
        raise ValueError(f"not JSON: {error}") from error
    if not isinstance(given, dict):
        raise ValueError('an object by rule, such as {"StepOutlier": {"stddev": 4}}')
    if given:
        from debugger import rules

        rules.make(given)
    return text


# What the trials of one job may differ in: nothing that the features of a picture depend on.
SWEPT = (
    *("learning_rate", "batch_size", "epochs", "momentum", "weight_decay"),
    *("warmup_epochs", "label_smoothing", "clip_gradient_norm", "patience"),
)
MOST_TRIALS = 256


def lists(text: str) -> str:
    """Check lists of values by hyperparameter, as JSON."""
    try:
        given = json.loads(text or "{}")
    except ValueError as error:
        raise ValueError(f"not JSON: {error}") from error
    if not isinstance(given, dict) or not all(
        isinstance(values, list) and values for values in given.values()
    ):
        raise ValueError('lists by hyperparameter, such as {"learning_rate": [0.01, 0.1]}')
    unknown = [name for name in given if name not in SWEPT]
    if unknown:
        raise ValueError(f"{', '.join(unknown)} cannot be swept, only {', '.join(SWEPT)}")
    if (count := math.prod(map(len, given.values()))) > MOST_TRIALS:
        raise ValueError(f"{count} trials, and one job takes {MOST_TRIALS}: drop some values")
    return text
