"""Hyperparameters that are structured text: each function checks one and returns it unchanged."""

import json
import math
import re

from debugger.records import COLLECTIONS


def collections(text: str) -> str:
    """Check names of collections."""
    unknown = [name for name in re.findall(r"[^\s,]+", text) if name not in COLLECTIONS]
    if unknown:
        raise ValueError(
            f"no collection {', '.join(unknown)}: choose from {', '.join(COLLECTIONS)}"
        )
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
        raise ValueError(
            'give two step numbers such as "10:13", the lower one first, or "" for none'
        )
    return text


def rules(text: str) -> str:
    """Check the settings of rules, as JSON."""
    try:
        given = json.loads(text or "{}")
    except ValueError as error:
        raise ValueError(f"not JSON: {error}") from error
    if not isinstance(given, dict):
        raise ValueError('give a JSON object by rule, such as {"StepOutlier": {"stddev": 4}}')
    if given:
        from debugger import rules

        rules.make(given)
    return text


# The trials of one job can differ in these: a picture's features do not depend on them.
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
        raise ValueError('give lists by hyperparameter, such as {"learning_rate": [0.01, 0.1]}')
    unknown = [name for name in given if name not in SWEPT]
    if unknown:
        raise ValueError(f"{', '.join(unknown)} cannot be swept, only {', '.join(SWEPT)}")
    if (count := math.prod(map(len, given.values()))) > MOST_TRIALS:
        raise ValueError(
            f"{count} trials, but one job takes at most {MOST_TRIALS}: remove some values"
        )
    return text
