"""The section about the trials of a sweep or a tuning job: the table, and charts of the metric."""

import json
import math
from typing import Any

from debugger.report import facts
from debugger.report.drawing import charts
from debugger.report.drawing.markup import Html, join, tag
from debugger.report.drawing.series import Axis, Categories, Formatter, Marked
from debugger.report.drawing.tables import Column, folded, table
from debugger.report.wording import clock, count, number

_SHOWN = 20  # rows of the table that are not folded
_FEW = 8  # values that are ticks themselves
_WIDE = 30.0  # numbers that differ by this factor get a logarithmic axis


def trials(found: facts.Trials) -> Html:
    """Return the table of trials, best first, and the metric over each hyperparameter."""
    if not found.trials:
        return tag("p", "No trial has begun yet.")
    done = [item for item in found.trials if item.value is not None]
    intro = f"{count(len(found.trials), 'trial')}, {len(done)} with a result. The best has the "
    intro += f"{'lowest' if found.minimize else 'highest'} {found.objective}."
    return join(
        tag("p", intro, class_="quiet"),
        _table(found),
        tag("div", *_charts(found, done), class_="grid") if done else None,
    )


def names(found: facts.Trials) -> list[str]:
    """Return the hyperparameters of the trials."""
    return list(dict.fromkeys(name for item in found.trials for name in item.hyperparameters))


def _table(found: facts.Trials) -> Html:
    tried = names(found)
    timed = any(item.seconds is not None for item in found.trials)
    epochs = any(item.epoch is not None for item in found.trials)
    columns = [
        Column("trial"),
        Column(found.objective, figure=True),
        *(Column(name, figure=True) for name in tried),
        *([Column("best epoch", figure=True, minor=True)] if epochs else []),
        *([Column("time", figure=True, minor=True)] if timed else []),
        Column("status"),
    ]
    rows = [
        [
            item.name,
            number(item.value, 4),
            *(_text(item.hyperparameters.get(name)) for name in tried),
            *([f"{item.epoch or ''}"] if epochs else []),
            *(["" if item.seconds is None else clock(item.seconds)] if timed else []),
            _status(item, found),
        ]
        for item in found.trials
    ]
    best = 0 if found.trials[0].name == found.best else None
    made = table("Best first", columns, rows[:_SHOWN], marked=best)
    rest = rows[_SHOWN:]
    more = folded(f"{len(rest)} more", table("Other trials", columns, rest)) if rest else None
    return join(made, more)


def _status(item: facts.Trial, found: facts.Trials) -> str:
    return "best" if item.name == found.best else item.status


def _text(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return "" if value is None else str(value).lower()
    if isinstance(value, int | float):
        return number(float(value), 4)
    return value if isinstance(value, str) else json.dumps(value)


def _charts(found: facts.Trials, done: list[facts.Trial]) -> list[Html]:
    """Return a chart for each hyperparameter that has several values."""
    values = [item.value for item in done if item.value is not None]
    low, high = min(values), max(values)
    room = 0.08 * (high - low) or 0.05 * abs(high) or 1.0
    y = Axis(low - room, high + room, number)
    drawn = []
    for name in names(found):
        known = [item for item in done if name in item.hyperparameters]
        given = [item.hyperparameters[name] for item in known]
        if len({_text(item) for item in given}) < 2:
            continue
        x, places, note = _axis(given)
        points = [
            (
                place,
                item.value or 0.0,
                f"{item.name}: {_text(value)}, {number(item.value, 4)}",
            )
            for place, item, value in zip(places, known, given, strict=True)
        ]
        best = next((i for i, item in enumerate(known) if item.name == found.best), None)
        title = f"{found.objective} over {name}{note}"
        drawn.append(charts.scatter(title, points, x, y, best=best))
    return drawn


def _axis(given: list[Any]) -> tuple[Axis, list[float], str]:
    """Return an axis for values, their places on it, and a note for its title."""
    numbers = [float(v) for v in given if isinstance(v, int | float) and not isinstance(v, bool)]
    if len(numbers) < len(given) or not all(math.isfinite(item) for item in numbers):
        words = list(dict.fromkeys(_text(item) for item in given))
        places = [float(words.index(_text(item))) for item in given]
        return Categories.of(words), places, ""
    low, high = min(numbers), max(numbers)
    if low > 0 and high >= _WIDE * low:
        logs = [math.log10(item) for item in numbers]
        room = 0.04 * (max(logs) - min(logs))
        ends = (min(logs) - room, max(logs) + room)
        return _marked(*ends, lambda v: number(10**v, 2), logs, powers=True), logs, " (logarithmic)"
    room = 0.04 * (high - low)
    return _marked(low - room, high + room, number, numbers), numbers, ""


def _marked(
    low: float, high: float, shown: Formatter, values: list[float], *, powers: bool = False
) -> Axis:
    """Return an axis with ticks at the values if they are few."""
    few = tuple(dict.fromkeys(values))
    if len(few) <= _FEW:
        return Marked(low, high, shown, marks=few)
    return Axis(low, high, shown, powers=powers)
