"""The section about what changed since another job."""

from debugger.report import facts
from debugger.report.drawing.markup import Html, join, tag
from debugger.report.drawing.tables import Column, table
from debugger.report.wording import dollars, number, seconds

_MANY = 10.0  # from here on a change is a factor, not percent
_SAME = 0.005  # a smaller change of a figure is none


def comparison(found: facts.Comparison) -> Html:
    """Return the figures and the settings that changed."""
    rows = []
    for item in found.figures:
        text, kind = change(item)
        shown = tag("span", text, class_=kind)
        rows.append([item.name, figure(item.before, item.unit), figure(item.now, item.unit), shown])
    columns = [Column("figure"), *(Column(n, figure=True) for n in ("before", "now", "change"))]
    settings = table(
        "Settings that changed",
        [Column("setting"), Column("before"), Column("now")],
        [[item.name, item.before, item.now] for item in found.settings],
    )
    return join(
        tag(
            "div",
            tag("div", table(f"Before: {found.against}", columns, rows)),
            tag("div", settings if found.settings else tag("p", "No setting changed.")),
            class_="pair",
        ),
        tag("p", "The curves below show both jobs.", class_="quiet"),
    )


def figure(value: float | None, unit: str) -> str:
    """Return a figure with its unit."""
    if value is None:
        return number(None)
    if unit == "s":
        return seconds(value)
    if unit == "$":
        return dollars(value)
    return f"{100 * value:.1f} %" if unit == "%" else number(value)


def change(item: facts.Difference) -> tuple[str, str | None]:
    """Return the change as text, and `up` or `down` if it is for better or worse."""
    if item.before is None or item.now is None:
        return "", None
    delta = item.now - item.before
    if item.unit == "%":
        text, small = f"{100 * delta:+.1f} points", abs(delta) < 0.0005
    elif item.before and item.now / item.before >= _MANY:
        text, small = f"{number(item.now / item.before, 2)} times", False
    elif item.before:
        text, small = f"{100 * delta / item.before:+.1f} %", abs(delta) < _SAME * abs(item.before)
    else:
        text, small = (f"+{figure(delta, item.unit)}", False) if delta else ("", True)
    if small:
        return "same", None
    return text, "up" if delta * item.better > 0 else "down" if item.better else None
