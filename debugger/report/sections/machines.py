"""The sections about machines: their utilisation, and the profiled operators."""

from debugger.report import facts
from debugger.report.drawing.markup import Html, join, tag
from debugger.report.drawing.tables import Column, folded, table
from debugger.report.wording import count, figure, measure, number, seconds, share

_SHOWN = 12


def usage(report: facts.Report) -> Html:
    """Return a table for each host: max, p99, p95, p50 and min of each metric."""
    if not report.system:
        return tag("p", "No system metrics were recorded: set profiler=true.")
    heads = ("max", "p99", "p95", "p50", "min")
    columns = [Column("metric"), *(Column(n, figure=True, minor=n == "p99") for n in heads)]
    tables = []
    for host in dict.fromkeys(item.host for item in report.system):
        rows = [
            [
                _capital(figure(item.name)),
                *(measure(getattr(item.figures, n), item.unit) for n in heads),
            ]
            for item in report.system
            if item.host == host
        ]
        samples = max(item.figures.count for item in report.system if item.host == host)
        tables.append(table(f"{host}, {count(samples, 'sample')}", columns, rows))
    return tag("div", *tables, class_="pair" if len(tables) > 1 else None)


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def operators(report: facts.Report) -> Html:
    """Return a table for each profiled window and device, most expensive operators first."""
    found = [item for item in report.operators if item.operators]
    if not found:
        return tag("p", "No operators were recorded: set profiler_steps to a window such as 10:13.")
    columns = [Column("operator"), *(Column(n, figure=True, minor=n in ("calls", "total time"))
               for n in ("calls", "self time", "share", "total time"))]  # fmt: skip
    parts = []
    for window in found:
        rows = [
            [
                item.name,
                number(float(item.calls)),
                seconds(item.self_seconds),
                share(item.share),
                seconds(item.total_seconds),
            ]
            for item in window.operators
        ]
        last = window.step + max(window.steps, 1) - 1
        caption = f"{window.device.upper()}, steps {window.step:,} to {last:,}, {window.process}"
        more = rows[_SHOWN:]
        parts.append(
            tag(
                "div",
                table(caption, columns, rows[:_SHOWN]),
                folded(f"{len(more)} more", table("Other operators", columns, more))
                if more
                else None,
            )
        )
    return join(tag("div", *parts, class_="pair"))
