"""Charts: lines, points and parallel axes; buttons save them as PNG and CSV."""

import csv
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nicegui import ui

from pictures.text import cell as as_cell
from scripts.console.safe import without_escapes
from scripts.ui.tables import file_name, save_csv

Points = Sequence[tuple[float, float]]


@dataclass
class Shown:
    """A chart on a page."""

    element: "_Chart"
    series: Mapping[str, Points]

    def update(self, series: Mapping[str, Points]) -> None:
        """Show these lines instead; nothing is sent if they are the same."""
        if series == self.series:
            return
        self.series = {name: list(points) for name, points in series.items()}
        self.element.show(_lines(self.series), _legend(list(self.series)))


class _Chart(ui.element, component="chart.js"):
    def __init__(self, options: dict[str, Any], label: str) -> None:
        super().__init__()
        self._props["options"] = options
        self._props["label"] = label

    def show(self, series: list[dict[str, Any]], legend: dict[str, Any]) -> None:
        self._props["options"] = {**self._props["options"], "series": series, "legend": legend}
        self.update()


def lines(
    caption: str, series: Mapping[str, Points] | None = None, *, x: str = "epoch", y: str = ""
) -> Shown:
    """Draw lines over numbers.

    Args:
        caption: what the chart shows.
        series: points (x, y) by the line's name.
        x: the name of the horizontal axis.
        y: the name of the vertical axis.
    """
    series = {name: list(points) for name, points in (series or {}).items()}
    options = _options(series, _axis(x), _axis(y) | {"scale": True})
    options["series"] = _lines(series)
    made: list[Shown] = []
    element = _framed(caption, options, lambda: _csv(("line", x, y or "value"), _rows(made[0])))
    made.append(Shown(element, series))
    return made[0]


def points(
    caption: str,
    found: Sequence[tuple[float | str, float, bool]],
    *,
    x: str,
    y: str,
    log: bool = False,
) -> None:
    """Draw points (x, y, whether it is the best one), over numbers or over words.

    Args:
        caption: what the chart shows.
        found: the points.
        x: the name of the horizontal axis.
        y: the name of the vertical axis.
        log: whether the horizontal axis is logarithmic.
    """
    words = [one[0] for one in found if isinstance(one[0], str)]
    axis = _axis(x) | {"scale": True}
    if words:
        axis |= {"type": "category", "data": sorted({_text(str(one[0])) for one in found})}
    elif log:
        axis |= {"type": "log"}
    drawn = {
        "trials": [one for one in found if not one[2]],
        "best": [one for one in found if one[2]],
    }
    options = _options(drawn, axis, _axis("") | {"scale": True})
    options["series"] = [
        {
            "name": name,
            "type": "scatter",
            "symbol": "diamond" if name == "best" else "circle",
            "symbolSize": 18 if name == "best" else 10,
            "data": [[_text(str(one[0])) if words else one[0], one[1]] for one in some],
        }
        for name, some in drawn.items()
    ]
    _framed(caption, options, lambda: _csv((x, y), [(a, b) for a, b, _ in found]))


def parallel(
    caption: str, axes: Sequence[str], found: Sequence[tuple[Sequence[float | str], bool]]
) -> None:
    """Draw a line for each trial over parallel axes; the last axis is the metric.

    Args:
        caption: what the chart shows.
        axes: their names.
        found: the values of each trial in the order of the axes, and whether it is the best.
    """
    described = []
    for number, name in enumerate(axes):
        column = [values[number] for values, _ in found]
        axis: dict[str, Any] = {"dim": number, "name": _text(name), "nameTruncate": _SHORT}
        if any(isinstance(one, str) for one in column):
            axis |= {"type": "category", "data": sorted({_text(str(one)) for one in column})}
        elif is_wide(column):
            axis |= {"type": "log"}
        else:
            axis |= {"scale": True}
        described.append(axis)

    def drawn(values: Sequence[float | str]) -> list[float | str]:
        return [
            _text(str(one)) if "data" in axis else one
            for one, axis in zip(values, described, strict=True)
        ]

    names = {"trials": False, "best": True}
    options = {
        "animation": False,
        "parallelAxis": described,
        "parallel": {"left": 50, "right": 70, "top": 60, "bottom": 30},
        "legend": _legend(list(names)),
        "tooltip": {"renderMode": "richText"},
        "series": [
            {
                "name": name,
                "type": "parallel",
                "lineStyle": {"width": 4 if is_best else 1.5, "opacity": 1 if is_best else 0.6},
                "data": [drawn(values) for values, best in found if best == is_best],
            }
            for name, is_best in names.items()
        ],
    }
    _framed(caption, options, lambda: _csv(axes, [values for values, _ in found]))


def bars(
    caption: str, categories: Sequence[str], series: Mapping[str, Sequence[float]], *, x: str
) -> None:
    """Draw a bar for each category; the series stand on each other.

    Args:
        caption: what the chart shows.
        categories: their names.
        series: name -> a value for each category.
        x: what the categories are.
    """
    axis = _axis(x) | {"type": "category", "data": [_text(one) for one in categories]}
    axis |= {"axisLabel": {"width": 90, "overflow": "truncate"}}
    options = _options(series, axis, _axis(""))
    options["series"] = [
        {"name": _text(name), "type": "bar", "stack": "all", "data": list(values)}
        for name, values in series.items()
    ]
    rows = [
        (category, *values) for category, *values in zip(categories, *series.values(), strict=True)
    ]
    _framed(caption, options, lambda: _csv((x, *series), rows))


def is_wide(values: Sequence[object]) -> bool:
    """Whether positive numbers span so much that only a logarithmic axis shows them all."""
    numbers = [one for one in values if isinstance(one, int | float)]
    return bool(numbers) and min(numbers) > 0 and max(numbers) / min(numbers) >= 30


_SHORT = {"maxWidth": 110}


def _framed(caption: str, options: dict[str, Any], as_csv: Any) -> _Chart:
    """A chart with its caption and its buttons."""
    caption = without_escapes(caption)
    said = re.sub(r"[^\w :,.()-]", " ", caption)
    with ui.element("figure"):
        with ui.element("figcaption"):
            ui.label(caption)
        element = _Chart(options, f"Chart: {caption}")
        with ui.element("div").classes("saving"):
            name = f"{file_name(caption)}.png"
            ui.button("PNG", icon="image", on_click=lambda: element.run_method("save", name)).props(
                f'flat dense no-caps aria-label="Save as PNG: {said}"'
            )
            ui.button("CSV", icon="download", on_click=lambda: save_csv(caption, as_csv())).props(
                f'flat dense no-caps aria-label="Save as CSV: {said}"'
            )
    return element


def _options(series: Mapping[str, Any], x: dict[str, Any], y: dict[str, Any]) -> dict[str, Any]:
    return {
        "animation": False,
        "grid": {"left": 12, "right": 18, "top": 40, "bottom": 28, "containLabel": True},
        # Drawn on the canvas as text: names from outside are never HTML.
        "tooltip": {"trigger": "item", "renderMode": "richText"},
        "legend": _legend(list(series)),
        "xAxis": x,
        "yAxis": y,
    }


def _legend(names: Sequence[str]) -> dict[str, Any]:
    return {"type": "scroll", "top": 0, "data": [_text(one) for one in names]}


def _axis(name: str) -> dict[str, Any]:
    return {"type": "value", "name": _text(name), "nameLocation": "middle", "nameGap": 28}


def _lines(series: Mapping[str, Points]) -> list[dict[str, Any]]:
    return [
        {
            "name": _text(name),
            "type": "line",
            "showSymbol": len(points) < 60,
            "symbolSize": 6,
            "data": [list(one) for one in points],
        }
        for name, points in series.items()
    ]


def _text(text: str) -> str:
    """A short text without control characters."""
    clean = without_escapes(text)
    return clean if len(clean) <= 60 else f"{clean[:59]}…"


def _rows(shown: Shown) -> list[tuple[str, float, float]]:
    return [(name, a, b) for name, points in shown.series.items() for a, b in points]


def _csv(titles: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    text = io.StringIO(newline="")
    written = csv.writer(text)
    written.writerow(map(as_cell, titles))
    written.writerows(
        [as_cell(one) if isinstance(one, str) else one for one in row] for row in rows
    )
    return text.getvalue()
