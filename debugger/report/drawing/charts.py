"""Charts as inline SVG, complete without JavaScript.

The drawing stretches to the width of the page (`preserveAspectRatio="none"`, lines keep their
width). All text is HTML next to it, so it is readable on a phone too. If there are more points than
columns, each column shows a band from minimum to maximum, and the median.
"""

import itertools
import json
import math
from collections.abc import Callable, Sequence

import numpy as np

from debugger.report.drawing.markup import Html, join, tag
from debugger.report.drawing.series import (
    COLUMNS,
    Axis,
    Categories,
    Columns,
    Formatter,
    Series,
    columns,
)
from debugger.report.facts import Bin
from debugger.report.wording import part

_WIDTH, _HEIGHT = 1000.0, 200.0


def lines(
    title: str,
    series: Sequence[Series],
    x: Axis,
    y: Axis,
    *,
    group: str = "",
    tall: bool = False,
    level: tuple[float, str] | None = None,
) -> Html:
    """Return a chart of lines over x.

    Args:
        title: the title.
        series: the lines.
        x: the x axis.
        y: the y axis.
        group: charts of a group share a cursor.
        tall: a higher chart.
        level: the value of a horizontal line, and its name.
    """
    shown = [(item, columns(item.x, item.y, x.low, x.high)) for item in series]
    parts = [_grid(x, y)]
    if level:
        parts.append(_flat(y.at(level[0]), "level"))
    parts += [_drawn(item.colour, found, x, y) for item, found in shown]
    legend = [_key(item.name, item.colour) for item in series] if len(series) > 1 else []
    if level:
        legend.append(_key(level[1], "level"))
    data = [
        {
            "name": item.name,
            "x": _short(found.x),
            "mid": _short(found.mid),
            **(
                {}
                if found.single_values
                else {"low": _short(found.low), "high": _short(found.high)}
            ),
        }
        for item, found in shown
    ]
    description = f"{title}: " + "; ".join(_description(item, y.format_value) for item in series)
    return _figure(title, legend, parts, x, y, description, data, group, tall=tall)


def bars(title: str, bins: Sequence[Bin], format_x: Formatter, marks: dict[str, float]) -> Html:
    """Return a histogram; a bar that is not empty has at least 2 % of the height."""
    most = max(item.count for item in bins)
    y = Axis(0, most * 1.04, lambda value: f"{value:,.0f}")
    low, high = bins[0].low, bins[-1].high
    logarithmic = len(bins) > 2 and bins[1].high - bins[1].low > 1.01 * (bins[0].high - low)
    if logarithmic:
        x = Axis(math.log10(low), math.log10(high), lambda value: format_x(10**value), powers=True)
        place: Callable[[float], float] = math.log10
    else:
        x, place = Axis(low, high, format_x), float
    parts = [_grid(x, y, upright=False)]
    width = _WIDTH / len(bins)
    for i, item in enumerate(bins):
        if item.count:
            height = max(y.at(item.count), 0.02) * _HEIGHT
            drawn = tag(
                "rect",
                tag("title", f"{format_x(item.low)} to {format_x(item.high)}: {item.count:,}"),
                x=_text(i * width + 0.06 * width),
                y=_text(_HEIGHT - height),
                width=_text(width * 0.88),
                height=_text(height),
                class_="fill a",
            )
            parts.append(drawn)
    inside = {name: at for name, at in marks.items() if low <= at <= high}
    parts += [_upright(x.at(place(at)), "mark") for at in inside.values()]
    legend = [_key(f"{name} {format_x(at)}", "mark") for name, at in inside.items()]
    description = (
        f"{title}: {sum(item.count for item in bins):,} steps between {format_x(low)} and "
    )
    note = ", on a logarithmic axis" if logarithmic else ""
    return _figure(
        title, legend, parts, x, y, f"{description}{format_x(high)}{note}", [], "", tall=False
    )


def scatter(
    title: str,
    points: Sequence[tuple[float, float, str]],
    x: Axis,
    y: Axis,
    *,
    best: int | None = None,
) -> Html:
    """Return points (x, y, description) without lines; the point `best` is marked."""
    parts = [_grid(x, y)]
    order = [i for i in range(len(points)) if i != best] + ([] if best is None else [best])
    for i in order:
        across, up, words = points[i]
        at = f"M{_text(_WIDTH * x.at(across))} {_text(_HEIGHT * (1 - y.at(up)))}h0"
        kind = "dot b large" if i == best else "dot a"
        parts.append(tag("path", tag("title", words), d=at, class_=kind))
    legend = [] if best is None else [_key("best", "b round"), _key("other trials", "a round")]
    description = f"{title}: {len(points)} trials" + (
        "" if best is None else f"; the best is {points[best][2]}"
    )
    return _figure(title, legend, parts, x, y, description, [], "", tall=True)


def ribbon(title: str, spans: Sequence[tuple[float, float, str]], x: Axis, group: str) -> Html:
    """Return coloured intervals (start, end, name) over x."""
    names = list(dict.fromkeys(name for _, _, name in spans))
    parts = [
        tag(
            "rect",
            x=_text(x.at(begin) * _WIDTH),
            y="0",
            # A minimum width, so that short intervals stay visible.
            width=_text(max((x.at(end) - x.at(begin)) * _WIDTH, 0.7)),
            height=_text(_HEIGHT),
            class_=f"fill p-{name}",
        )
        for begin, end, name in spans
    ]
    y = Axis(0, 1, lambda _: "")
    legend = [_key(name, f"p-{name}") for name in names]
    description = f"{title}: " + ", ".join(names)
    return _figure(title, legend, parts, x, y, description, [], group, tall=False, kind=" ribbon")


def _figure(
    title: str,
    legend: Sequence[Html],
    parts: Sequence[Html],
    x: Axis,
    y: Axis,
    description: str,
    data: Sequence[object],
    group: str,
    *,
    tall: bool,
    kind: str = "",
) -> Html:
    drawing = tag(
        "svg",
        *parts,
        viewBox=f"0 0 {_WIDTH:.0f} {_HEIGHT:.0f}",
        preserveAspectRatio="none",
        role="img",
        aria_label=description,
    )
    y_labels = [
        tag("span", y.format_value(at), style=f"bottom:{100 * y.at(at):.2f}%")
        for at in (y.ticks(4) if not kind else [])
    ]
    ticks = x.ticks(6)
    x_labels = [
        tag("span", x.format_value(at), style=f"left:{100 * x.at(at):.2f}%", class_=_edge(x.at(at)))
        for at in ticks
    ]
    few = isinstance(x, Categories) and len(ticks) <= 4  # all fit on a phone
    reading = {"low": x.low, "high": x.high, "series": data} if data else None
    return tag(
        "figure",
        tag("figcaption", tag("b", title), *legend, tag("output", class_="reading")),
        tag("div", *y_labels, class_="y", aria_hidden="true"),
        tag(
            "div",
            drawing,
            class_="plot",
            data_group=group or None,
            data_points=json.dumps(reading, separators=(",", ":")) if reading else None,
        ),
        tag("div", *x_labels, class_="x words" if few else "x", aria_hidden="true"),
        class_=f"chart{' tall' if tall else ''}{kind}",
    )


def _edge(place: float) -> str | None:
    return "first" if place < 0.03 else "last" if place > 0.97 else None


def _grid(x: Axis, y: Axis, *, upright: bool = True) -> Html:
    found = [_flat(y.at(at), "rule") for at in y.ticks(4)]
    if upright:
        found += [_upright(x.at(at), "rule") for at in x.ticks(6)]
    return join(*found)


def _flat(place: float, kind: str) -> Html:
    at = _text(_HEIGHT * (1 - place))
    return tag("line", x1="0", x2=_text(_WIDTH), y1=at, y2=at, class_=kind)


def _upright(place: float, kind: str) -> Html:
    at = _text(_WIDTH * place)
    return tag("line", x1=at, x2=at, y1="0", y2=_text(_HEIGHT), class_=kind)


def _drawn(colour: str, found: Columns, x: Axis, y: Axis) -> Html:
    if not found.x.size:
        return Html("")
    across = _WIDTH * (found.x - x.low) / ((x.high - x.low) or 1.0)
    low, mid, high = (
        _HEIGHT * (1 - (item - y.low) / ((y.high - y.low) or 1.0))
        for item in (found.low, found.mid, found.high)
    )
    runs = _runs(across)
    parts = []
    if not found.single_values:
        bands = [
            _path(np.r_[across[run], across[run][::-1]], np.r_[high[run], low[run][::-1]]) + "Z"
            for run in runs
        ]
        parts.append(tag("path", d="".join(bands), class_=f"band {colour}"))
    line = "".join(_path(across[run], mid[run]) for run in runs)
    parts.append(tag("path", d=line, class_=f"line {colour}"))
    few = across.size <= 40
    alone = range(across.size) if few else [r.start for r in runs if r.stop - r.start == 1]
    dots = "".join(f"M{_text(across[i])} {_text(mid[i])}h0" for i in alone)
    if dots:
        parts.append(tag("path", d=dots, class_=f"dot {colour}"))
    return join(*parts)


def _runs(across: np.ndarray) -> list[slice]:
    """Return the ranges between wide gaps: a line must not cross a gap without data."""
    if across.size <= 40:
        return [slice(0, across.size)]
    gaps = np.diff(across)
    wide = np.flatnonzero(gaps > max(3 * float(np.median(gaps)), 2.5 * _WIDTH / COLUMNS))
    edges = [0, *(int(i) + 1 for i in wide), across.size]
    return [slice(a, b) for a, b in itertools.pairwise(edges)]


def _path(across: np.ndarray, down: np.ndarray) -> str:
    return "M" + "L".join(f"{_text(a)} {_text(b)}" for a, b in zip(across, down, strict=True))


def _text(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")


def _short(values: np.ndarray) -> list[float]:
    return [float(f"{item:.5g}") for item in values]


def _key(name: str, colour: str) -> Html:
    swatch = tag("i", class_=f"key {colour}", aria_hidden="true")
    shown = part(name) if colour.startswith("p-") else name
    return tag("span", swatch, shown, class_="legend")


def _description(item: Series, format_value: Formatter) -> str:
    finite = item.y[np.isfinite(item.y)]
    if not finite.size:
        return f"{item.name} has no finite value"
    return (
        f"{item.name} from {format_value(float(finite[0]))} to {format_value(float(finite[-1]))}, "
        f"minimum {format_value(float(finite.min()))}, maximum {format_value(float(finite.max()))}"
    )
