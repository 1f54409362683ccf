"""What changed between two jobs: times, metrics, cost and settings."""

import json
from collections.abc import Sequence
from typing import Any, Literal

from debugger.report import facts
from debugger.report.wording import part

_IGNORED = ("class_names", "settings", "layers", "hyperparameters", "versions")
_HIGHER_IS_BETTER = ("accuracy", "macro_f1", "images_per_second")


def compare(report: facts.Report, other: facts.Report) -> facts.Comparison:
    """Return what changed from `other` to `report`."""
    return facts.Comparison(
        against=other.job.name or "the other job",
        figures=_figures(report, other),
        settings=_settings(report.job.about, other.job.about),
        curves=other.curves,
    )


def _figures(now: facts.Report, before: facts.Report) -> list[facts.Difference]:
    found = [_difference("time in total", "s", (before.job.seconds, now.job.seconds), -1)]
    cost = [item.cost.total if item.cost else None for item in (before, now)]
    if any(item is not None for item in cost):
        found.append(_difference("cost", "$", cost, -1))
    seconds = [{item.name: item.seconds for item in one.time.parts} for one in (before, now)]
    for name in dict.fromkeys([*seconds[1], *seconds[0]]):
        was, now_ = (item.get(name) for item in seconds)
        if was or now_:
            found.append(_difference(part(name), "s", (was or 0.0, now_ or 0.0), -1))
    steps = [one.steps for one in (before, now)]
    for name, shown in (("p50", "step (median)"), ("p99", "step (p99)")):
        values = [getattr(one.durations, name) if one else None for one in steps]
        found.append(_difference(shown, "s", values, -1))
    rates = [one.pictures_per_second if one else None for one in steps]
    found.append(_difference("pictures per second", "", rates, 1))
    for name in dict.fromkeys([*now.curves, *before.curves]):
        if name.startswith(("validation:", "test:", "train:loss")):
            values = [_value(one, name) for one in (before, now)]
            metric = name.partition(":")[2]
            higher = metric.endswith(_HIGHER_IS_BETTER)
            unit = "%" if metric.endswith(("accuracy", "macro_f1")) else ""
            found.append(_difference(name, unit, values, 1 if higher else -1))
    fired = [float(sum(item.status == "fired" for item in one.judging)) for one in (before, now)]
    found.append(_difference("rules that fired", "", fired, -1))
    return [item for item in found if item.before is not None or item.now is not None]


def _difference(
    name: str, unit: str, pair: Sequence[float | None], better: Literal[-1, 1]
) -> facts.Difference:
    before, now = pair
    return facts.Difference(name=name, unit=unit, before=before, now=now, better=better)


def _value(report: facts.Report, name: str) -> float | None:
    """Return a metric in the epoch of the bundle, else the last one."""
    if report.best and name in report.best.values:
        return report.best.values[name]
    points = report.curves.get(name)
    return points[-1].value if points else None


def _settings(now: dict[str, Any], before: dict[str, Any]) -> list[facts.Setting]:
    flat = [
        {
            **{name: value for name, value in about.items() if name not in _IGNORED},
            **(about.get("hyperparameters") or {}),
            **{f"{name} (version)": v for name, v in (about.get("versions") or {}).items()},
        }
        for about in (before, now)
    ]
    return [
        facts.Setting(name=name, before=_shown(flat[0], name), now=_shown(flat[1], name))
        for name in dict.fromkeys([*flat[1], *flat[0]])
        if flat[0].get(name) != flat[1].get(name)
    ]


def _shown(values: dict[str, Any], name: str) -> str:
    value = values.get(name)
    if name not in values or value is None:
        return "unset"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
