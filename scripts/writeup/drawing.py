"""The pictures of a write-up, as PNG files. Text from outside is text: no formulas, no markup."""

import io
import math
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import fontManager
from matplotlib.ticker import MaxNLocator, NullFormatter, PercentFormatter

from debugger.report.facts import Report
from debugger.report.wording import part
from pictures.decoder import ImageError, decode
from pictures.text import printable
from scripts.aws.trials import Trial
from scripts.writeup.story import Point, Prediction, Run, Tuning

# Inches, dots per inch: the text can be read where a page is as narrow as a phone.
WIDTH, DPI = 6.0, 200
_INK, _FAINT, _GRID = "#1f2933", "#64707d", "#dde3ea"
# Told apart by people with any colour vision. Source: Okabe and Ito, 2008.
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7a5195", "#8c6d31")
_MARKERS = "os^DvPX*"
# Fonts for scripts that matplotlib's own font lacks, if this machine has them.
_MORE_FONTS = (
    "Noto Sans CJK JP",
    "WenQuanYi Zen Hei",
    "Noto Sans Arabic",
    "Noto Sans Devanagari",
    "FreeSans",
)
# Trials with the same value stand side by side, by the value of the other hyperparameter.
_ASIDE = 0.08
_MOST_PANELS, _MOST_GROUPS, _BARS = 6, 8, 5
_LONGEST = 32  # characters of a label


@contextmanager
def style() -> Iterator[None]:
    """Draw with one style, whatever the user's own settings are."""
    installed = {one.name for one in fontManager.ttflist}
    settings: dict[Any, Any] = {
        "font.family": ["DejaVu Sans", *(name for name in _MORE_FONTS if name in installed)],
        "font.size": 10,
        "text.parse_math": False,
        "text.color": _INK,
        "axes.edgecolor": _FAINT,
        "axes.labelcolor": _INK,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "axes.axisbelow": True,
        "axes.titlesize": 11,
        "axes.titlelocation": "left",
        "grid.color": _GRID,
        "xtick.color": _FAINT,
        "ytick.color": _FAINT,
        "legend.frameon": False,
        "legend.fontsize": 9,
        "figure.dpi": DPI,
    }
    with mpl.rc_context(), warnings.catch_warnings():
        mpl.rcdefaults()
        mpl.rcParams.update(settings)
        warnings.filterwarnings("ignore", "Glyph .* missing from font", UserWarning)
        yield


def curves(run: Run, file: Path) -> bool:
    """Draw losses and accuracies by epoch; return False if there are none."""
    kinds = {"loss": "Loss", "accuracy": "Accuracy"}
    panels = {
        title: [(name, points) for name, points in run.curves.items() if _measures(name, kind)]
        for kind, title in kinds.items()
    }
    panels = {title: found for title, found in panels.items() if found}
    if not panels:
        return False
    figure = Figure(figsize=(WIDTH, 2.9), layout="constrained")
    axes = figure.subplots(1, len(panels), squeeze=False)[0]
    for axis, (title, found) in zip(axes, panels.items(), strict=True):
        for number, (name, points) in enumerate(found):
            _curve(axis, name, points, number)
        if run.best_epoch:
            axis.axvline(run.best_epoch, color=_FAINT, linewidth=1, linestyle=":")
        axis.set(title=title, xlabel="epoch")
        axis.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        if title == "Accuracy":
            axis.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=None, symbol=" %"))
        axis.legend(loc="best")
    return _save(figure, file)


def _measures(name: str, kind: str) -> bool:
    split, _, figure = name.partition(":")
    return figure == kind and split != "test"


def _curve(axis: Axes, name: str, points: Sequence[Point], number: int) -> None:
    finite = [point for point in points if math.isfinite(point.value)]
    axis.plot(
        [point.epoch for point in finite],
        [point.value for point in finite],
        color=_COLOURS[number % len(_COLOURS)],
        marker=_MARKERS[number % len(_MARKERS)] if len(finite) <= 30 else "",
        markersize=4,
        label=_short(name.partition(":")[0]),
    )


def times(report: Report, file: Path) -> bool:
    """Draw where the time went; return False if nothing was recorded."""
    found = [one for one in report.time.parts if one.share >= 0.001]
    if not found:
        return False
    figure = Figure(figsize=(WIDTH, 1.2 + 0.3 * len(found)), layout="constrained")
    axis = figure.subplots()
    names = [_short(part(one.name)) for one in found]
    inside = ("copy", "forward", "features", "backward", "optimizer")
    colours = [
        _COLOURS[0] if one.name in inside else _COLOURS[2] if one.name == "evaluation"
        else _COLOURS[1] if one.name in ("data_wait", "checkpoint", "recording", "other")
        else "#8a96a3"
        for one in found
    ]  # fmt: skip
    bars = axis.barh(range(len(found)), [one.seconds for one in found], color=colours, height=0.7)
    axis.bar_label(
        bars, [f"{one.seconds:,.1f} s, {100 * one.share:.1f} %" for one in found], padding=3,
        fontsize=9,
    )  # fmt: skip
    axis.set_yticks(range(len(found)), names)
    axis.invert_yaxis()
    axis.margins(x=0.26)
    axis.grid(axis="y", visible=False)
    axis.set(xlabel="seconds, and their share of the job")
    kinds = (("TRAIN", 0), ("EVAL", 2), ("neither", 1))
    for name, colour in kinds:
        axis.barh([0], [0], color=_COLOURS[colour], label=name)
    axis.barh([0], [0], color="#8a96a3", label="before and after the loop")
    figure.legend(loc="outside lower center", ncols=4)
    return _save(figure, file)


def tuning(found: Tuning, file: Path) -> bool:
    """Draw the objective over each hyperparameter; return False without a value to draw."""
    tried = _measured(found)
    names = found.varied[:_MOST_PANELS]
    if not tried or not names:
        return False
    columns = min(len(names), 2)
    lines = math.ceil(len(names) / columns)
    figure = Figure(figsize=(WIDTH, 0.5 + 2.7 * lines), layout="constrained")
    axes = figure.subplots(lines, columns, squeeze=False, sharey=True)
    for number, axis in enumerate(axes.flat):
        if number >= len(names):
            axis.set_visible(False)
            continue
        others = (name for name in names if name != names[number])
        other = next((name for name in others if 1 < len(_groups(found, name)) <= _MOST_GROUPS), "")
        _panel(axis, found, names[number], other)
        if number % columns == 0:
            axis.set_ylabel(_short(found.objective))
    return _save(figure, file)


def _panel(axis: Axes, found: Tuning, name: str, other: str) -> None:
    """Draw the trials over one hyperparameter; the colour is the value of another."""
    tried = _measured(found)
    values = [one.hyperparameters.get(name) for one, _ in tried]
    places, ticks = _places(values)
    groups = _groups(found, other) if other else [""]
    for number, group in enumerate(groups):
        aside = 0.0 if ticks is None else _ASIDE * (number - (len(groups) - 1) / 2)
        chosen = [
            (place + aside, value)
            for place, (one, value) in zip(places, tried, strict=True)
            if len(groups) == 1 or str(one.hyperparameters.get(other, "")) == group
        ]
        axis.scatter(
            [place for place, _ in chosen],
            [value for _, value in chosen],
            color=_COLOURS[number],
            marker=_MARKERS[number],
            s=36,
            label=_short(f"{other} {group}") if len(groups) > 1 else None,
        )
    best = next((number for number, (one, _) in enumerate(tried) if one is found.best), None)
    if best is not None:
        group = str(tried[best][0].hyperparameters.get(other, ""))
        place = places[best]
        if len(groups) > 1 and ticks is not None:
            place += _ASIDE * (groups.index(group) - (len(groups) - 1) / 2)
        axis.scatter([place], [tried[best][1]], s=150, facecolors="none", edgecolors=_INK,
                     linewidths=1.6, label="best")  # fmt: skip
    if ticks is None:
        numbers = [place for place in places if place > 0]
        if len(numbers) == len(places) and max(numbers) >= 20 * min(numbers):
            axis.set_xscale("log")
            # matplotlib's own labels are formulas, and here no text is one.
            axis.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
            axis.xaxis.set_minor_formatter(NullFormatter())
    else:
        axis.set_xticks(range(len(ticks)), [_short(str(tick), 14) for tick in ticks])
    axis.set(xlabel=_short(name))
    axis.margins(0.15)
    if len(groups) > 1 or best is not None:
        axis.legend(
            loc="lower left",
            bbox_to_anchor=(0, 1),
            ncols=2,
            fontsize=8,
            handletextpad=0.2,
            columnspacing=1,
            borderaxespad=0.2,
            markerscale=0.7,
        )


def _groups(found: Tuning, name: str) -> list[str]:
    """Return the values of a hyperparameter among the trials with a value, in order."""
    return sorted(
        {str(one.hyperparameters.get(name, "")) for one, _ in _measured(found)}, key=_numeric
    )


def _measured(found: Tuning) -> list[tuple[Trial, float]]:
    """Return the trials with a value, and the values."""
    return [
        (one, one.value)
        for one in found.trials
        if one.value is not None and math.isfinite(one.value)
    ]


def _places(values: Sequence[object]) -> tuple[list[float], list[object] | None]:
    """Return the positions on the axis, and the words on it unless the values are numbers."""
    numbers = [
        float(value)
        for value in values
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    ]
    distinct = sorted(set(numbers))
    if len(numbers) == len(values) and len(distinct) > 8:
        return numbers, None
    words = sorted(dict.fromkeys(map(_word, values)), key=_numeric)
    return [float(words.index(_word(value))) for value in values], list(words)


def _word(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else "not set" if value is None else str(value)


def _numeric(word: str) -> tuple[int, float, str]:
    try:
        return 0, float(word), word
    except ValueError:
        return 1, 0.0, word


def prediction(one: Prediction, file: Path) -> bool:
    """Draw a photo with its likeliest classes; return False if it cannot be read."""
    try:
        image = decode(one.photo.read_bytes())
    except (ImageError, OSError):
        return False
    image.thumbnail((600, 600))
    scores = one.scores[:_BARS]
    figure = Figure(figsize=(WIDTH, 2.3), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1, 1.6))
    left.imshow(image, interpolation="nearest" if image.width < 64 else "antialiased")
    left.set_axis_off()
    colours = [_COLOURS[0] if not number else "#9bb8cc" for number in range(len(scores))]
    bars = right.barh(range(len(scores)), [value for _, value in scores], color=colours, height=0.7)
    right.bar_label(bars, [f"{value:.1%}".replace("%", " %") for _, value in scores], padding=3)
    right.set_yticks(range(len(scores)), [_short(label) for label, _ in scores])
    right.invert_yaxis()
    right.set_xlim(0, 1.18)
    right.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "25 %", "50 %", "75 %", "100 %"])
    right.grid(axis="y", visible=False)
    right.set(title="probability")
    return _save(figure, file)


def _short(label: str, longest: int = _LONGEST) -> str:
    line = printable(label)
    return line if len(line) <= longest else f"{line[: longest - 1]}…"


def _save(figure: Figure, file: Path) -> bool:
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png", dpi=DPI, facecolor="white", metadata={"Software": None})
    file.write_bytes(drawn.getvalue())
    return True
