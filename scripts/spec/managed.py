"""AWS's own rules of SageMaker Debugger: their names, and their image in each region."""

import difflib
import tomllib
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Literal

_TABLE = Path(__file__).with_name("managed.toml")
Kind = Literal["debugger", "profiler"]


@cache
def _tables() -> tuple[dict[str, str], dict[Kind, dict[str, list[str]]]]:
    content = tomllib.loads(_TABLE.read_text())
    return content["accounts"], {
        "debugger": content["debugger"],
        "profiler": content["profiler"],
    }


def rules(kind: Kind) -> dict[str, list[str]]:
    """The rules by name, each with the tensor collections that it needs."""
    return _tables()[1][kind]


def wrong(names: Iterable[str]) -> list[str]:
    """A message for each name that is not a rule."""
    known = [*rules("debugger"), *rules("profiler")]
    found = []
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1) or [", ".join(known)]
            found.append(f"AWS has no rule {name} for classifiers: use {near[0]}")
    return found


def image(region: str) -> str | None:
    """The URI of the image that evaluates the rules; None if the region has none."""
    account = _tables()[0].get(region)
    if account is None:
        return None
    china = ".cn" if region.startswith("cn-") else ""
    return f"{account}.dkr.ecr.{region}.amazonaws.com{china}/sagemaker-debugger-rules:latest"
