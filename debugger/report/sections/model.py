"""The section about the model: layers over steps."""

import math
from collections.abc import Callable

import numpy as np

from debugger.records import ACTIVATIONS, GRADIENTS, WEIGHTS, Statistics
from debugger.report import facts
from debugger.report.analysis.gathering import Gathered
from debugger.report.drawing import heatmap
from debugger.report.drawing.markup import Html, join, tag
from debugger.report.drawing.tables import Column, folded, table
from debugger.report.wording import NOT_IN_A_SWEEP, number, share

_ACROSS = 240
_WORST = 15


def layers(report: facts.Report, gathered: Gathered) -> Html:
    """Return heat maps of tensors over steps, and the tensors to check first."""
    if not report.layers and report.sweep:
        return tag("p", f"Tensors are {NOT_IN_A_SWEEP}.")
    if not report.layers:
        return tag("p", "No tensors were recorded: set debugger_collections and debugger_interval.")
    maps = [
        _map(gathered, WEIGHTS, "Update ratio of weights", lambda item: item.change, number,
             "l2 norm of the update, divided by that of the weight; about 1e-3 is healthy"),
        _map(gathered, GRADIENTS, "L2 norm of gradients", lambda item: item.l2, number,
             "dark: vanishing gradients; bright: exploding gradients"),
        _map(gathered, GRADIENTS, "Zeros in gradients", lambda item: item.zeros, share,
             "share of elements"),
        _map(gathered, ACTIVATIONS, "Dead ReLU channels", lambda item: item.dead, share,
             "share of channels that are active in less than 1 % of positions"),
    ]  # fmt: skip
    return join(_worst(report.layers), tag("div", *maps, class_="grid"), _all(report.layers))


def _map(
    gathered: Gathered,
    collection: str,
    title: str,
    of: Callable[[Statistics], float | None],
    format_value: Callable[[float], str],
    meaning: str,
) -> Html | None:
    chosen = {
        name: [(step, value) for step, item in seen if (value := _value(item, of)) is not None]
        for (kind, name), seen in gathered.tensors.items()
        if kind == collection
    }
    chosen = {name: seen for name, seen in chosen.items() if seen}
    if not chosen:
        return None
    steps = sorted({step for seen in chosen.values() for step, _ in seen})
    columns = np.array_split(np.array(steps), min(len(steps), _ACROSS))
    place = {int(step): i for i, group in enumerate(columns) for step in group}
    values = np.full((len(chosen), len(columns)), np.nan)
    for row, seen in enumerate(chosen.values()):
        for step, value in seen:
            values[row, place[step]] = np.fmax(values[row, place[step]], value)
    many = "; a column shows the maximum of several records" if len(steps) > _ACROSS else ""
    across = [f"step {group[0]:,}" for group in columns]
    return heatmap.figure(
        title,
        values,
        list(chosen),
        across,
        format_value,
        logarithmic=format_value is number,
        description=f"{title} of {len(chosen)} tensors over {len(steps)} recorded steps: {meaning}"
        f"{many}. The table above lists the tensors to check first.",
        note=f"{meaning}{many}",
    )


def _value(item: Statistics, of: Callable[[Statistics], float | None]) -> float | None:
    value = of(item)
    if item.nonfinite > 0 or (value is not None and not math.isfinite(value)):
        return math.inf
    return value


def _worst(found: list[facts.Layer]) -> Html:
    """Return the tensors to check first, and why."""
    reasons: list[tuple[float, facts.Layer, str]] = []
    for item in found:
        if item.nonfinite:
            reasons.append((4, item, f"{share(item.nonfinite)} of it was NaN or infinite"))
        if (
            item.collection == GRADIENTS
            and item.l2 is not None
            and item.l2 / math.sqrt(item.size or 1) < 1e-9
        ):
            reasons.append((3, item, f"its gradient is almost zero: l2 norm {number(item.l2)}"))
        if item.dead is not None and item.dead > 0.5:
            reasons.append(
                (2 + item.dead, item, f"up to {share(item.dead)} of its channels were dead")
            )
        if item.saturated is not None and item.saturated > 0.5:
            reasons.append(
                (2 + item.saturated, item, f"up to {share(item.saturated)} of it was saturated")
            )
        if item.collection == WEIGHTS and item.change is not None:
            if item.change > 0.1:
                reasons.append(
                    (2, item, f"each update changes {share(item.change)} of it (median)")
                )
            elif item.change == 0:
                reasons.append((1, item, "it did not change"))
        if item.collection == GRADIENTS and item.zeros > 0.9:
            reasons.append((1, item, f"up to {share(item.zeros)} of its gradient was zero"))
    if not reasons:
        return tag("p", "No tensor looks wrong.")
    reasons.sort(key=lambda row: -row[0])
    rows = [[item.name, item.collection, why] for _, item, why in reasons[:_WORST]]
    columns = [Column("tensor"), Column("collection", minor=True), Column("reason")]
    of = f", {_WORST} of {len(reasons)}" if len(reasons) > _WORST else ""
    return table(f"Tensors to check first{of}", columns, rows)


def _all(found: list[facts.Layer]) -> Html:
    heads = ("l2", "update", "zeros", "dead", "not finite")
    columns = [Column("tensor"), Column("collection", minor=True)]
    columns += [Column(name, figure=True) for name in heads]
    rows = [
        [
            item.name,
            item.collection,
            number(item.l2),
            number(item.change),
            share(item.zeros),
            share(item.dead),
            share(item.nonfinite),
        ]
        for item in found
    ]
    caption = "l2 and update: median over the job; shares: maximum"
    return folded(f"All {len(found)} tensors", table(caption, columns, rows))
