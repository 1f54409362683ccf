"""The sections about training: curves, the timeline with system metrics, and steps."""

from collections import defaultdict

import numpy as np

from debugger.report import facts
from debugger.report.analysis.gathering import Gathered, label
from debugger.report.drawing import charts
from debugger.report.drawing.markup import Html, join, tag
from debugger.report.drawing.series import Axis, Formatter, Series, span
from debugger.report.drawing.tables import Column, folded, table
from debugger.report.wording import (
    NOT_IN_A_SWEEP,
    clock,
    figure,
    measure,
    number,
    part,
    seconds,
    unit,
)

_COLOURS = "abcdef"
_MOMENTS = 400
_HOSTS = 2  # further hosts are collapsed


def curves(report: facts.Report, gathered: Gathered) -> Html:
    """Return losses, metrics and learning rate over training steps."""
    families: dict[str, list[Series]] = defaultdict(list)
    losses = [step for step in gathered.of_main_process(gathered.steps) if step.loss is not None]
    if losses:
        families["loss"].append(
            _series(
                "single steps", [s.step for s in losses], [float(s.loss or 0) for s in losses], 0
            )
        )
    rates = [
        step for step in gathered.of_main_process(gathered.steps) if step.learning_rate is not None
    ]
    if rates:
        values = [float(step.learning_rate or 0) for step in rates]
        families["learning_rate"].append(_series("head", [s.step for s in rates], values, 0))
    for name, points in report.curves.items():
        if rates and name == "train:learning_rate":
            continue  # the same values at the ends of epochs
        split, _, metric = name.rpartition(":")
        family = families[metric or name]
        family.append(
            _series(split or name, [p.step for p in points], [p.value for p in points], len(family))
        )
    if report.against:
        _add_other(families, report.against)
    if not families:
        return tag("p", "No losses and no metrics were recorded.")
    last = max(float(item.x.max()) for family in families.values() for item in family)
    x = Axis(0.0, max(last, 1.0), lambda value: f"{value:,.0f}")
    order = ["loss", "accuracy", *(name for name in families if name not in ("loss", "accuracy"))]
    drawn = [
        charts.lines(
            f"{name.replace('_', ' ').capitalize()} by step",
            families[name],
            x,
            Axis(*span(families[name], zero=name == "learning_rate"), number),
            group="curves",
            tall=name in ("loss", "accuracy"),
        )
        for name in order
        if name in families
    ]
    note = None
    if report.sweep:
        won = f", trial {report.trials.best}" if report.trials and report.trials.best else ""
        note = tag("p", f"The curves are those of the best trial{won}. The losses of single steps "
                   f"are {NOT_IN_A_SWEEP}.", class_="quiet")  # fmt: skip
    return join(note, tag("div", *drawn, class_="grid"))


def _add_other(families: dict[str, list[Series]], other: facts.Comparison) -> None:
    """Add the curves of another job, where this job has a curve of the same name."""
    for name, points in other.curves.items():
        split, _, metric = name.rpartition(":")
        family = families.get(metric or name)
        if family:
            label = f"{split or name}, {other.against}"
            x, y = [p.step for p in points], [p.value for p in points]
            family.append(_series(label, x, y, len(family)))


def _series(name: str, x: list[int], y: list[float], index: int) -> Series:
    colour = _COLOURS[index % len(_COLOURS)]
    return Series(name, np.array(x, np.float64), np.array(y, np.float64), colour)


def timeline(report: facts.Report, gathered: Gathered) -> Html:
    """Return phases, step durations and system metrics over the time of the job."""
    job = report.job
    x = Axis(0.0, max(job.seconds, 1e-3), lambda value: clock(value) if value else "0", clock=True)
    drawn = []
    spans = _spans(gathered)
    if spans:
        drawn.append(charts.ribbon("What the job did", spans, x, "time"))
    by_process = sorted(gathered.by_process().items(), key=lambda item: item[0][1])
    if report.steps:
        series = _separate_series(
            {
                label(*process) if len(by_process) > 1 else "steps": (
                    np.array([s.at - job.started for s in steps]),
                    np.array([s.seconds for s in steps]),
                )
                for process, steps in by_process
            },
            "processes",
        )
        level = (report.steps.outlier_threshold, "outlier threshold")
        low, high = span(series, zero=True)
        y = Axis(low, max(high, level[0] * 1.05), seconds)
        title = "Step duration"
        title = f"{title}, {series[0].name}" if len(series) < len(by_process) else title
        drawn.append(charts.lines(title, series, x, y, group="time", tall=True, level=level))
    hosts = sorted({item.host for item in gathered.systems})
    for host in hosts[:_HOSTS]:
        drawn += _machine(gathered, host, x, job.started)
    rest = [
        folded(host, tag("div", *_machine(gathered, host, x, job.started), class_="stack"))
        for host in hosts[_HOSTS:]
    ]
    if not drawn:
        return tag("p", "No steps and no system metrics were recorded.")
    return join(tag("div", *drawn, class_="stack"), *rest)


def _separate_series(found: dict[str, tuple[np.ndarray, np.ndarray]], kind: str) -> list[Series]:
    """Return one line for each entry, or one band over all if there are more than colours."""
    if len(found) <= len(_COLOURS):
        return [Series(name, x, y, _COLOURS[i]) for i, (name, (x, y)) in enumerate(found.items())]
    x = np.concatenate([item for item, _ in found.values()])
    y = np.concatenate([item for _, item in found.values()])
    order = np.argsort(x, kind="stable")
    return [Series(f"all {len(found)} {kind}", x[order], y[order])]


def _machine(gathered: Gathered, host: str, x: Axis, started: float) -> list[Html]:
    samples = [item for item in gathered.systems if item.host == host]
    at = np.array([item.at - started for item in samples])
    names = {name for item in samples for name in item.values}
    families: dict[str, list[str]] = {
        "CPU": [n for n in ("cpu", "iowait") if n in names],
        "GPU": sorted(n for n in names if n.startswith("gpu/")),
        "GPU memory": sorted(n for n in names if n.startswith("gpu_memory/")),
        "Memory": [n for n in ("memory",) if n in names],
        "Memory of the job": [n for n in ("process_memory",) if n in names],
        "Disk": [n for n in ("disk_read", "disk_written") if n in names],
        "Network": [n for n in ("network_received", "network_sent") if n in names],
    }
    several = len({item.host for item in gathered.systems}) > 1
    drawn = []
    for title, found in families.items():
        if not found:
            continue
        series = _separate_series(
            {
                figure(name): (at, np.array([item.values.get(name, np.nan) for item in samples]))
                for name in found
            },
            "GPUs",
        )
        kind = unit(found[0])
        low, high = (0.0, 104.0) if kind == "%" else span(series, zero=True)
        y = Axis(low, high, _formatter(kind))
        shown = f"{title}, {host}" if several else title
        shown = f"{shown}, {series[0].name}" if len(series) < len(found) else shown
        drawn.append(charts.lines(shown, series, x, y, group="time"))
    return drawn


def _formatter(kind: str) -> Formatter:
    return lambda value: measure(value, kind)


def _spans(gathered: Gathered) -> list[tuple[float, float, str]]:
    """Return the phases of the main process; steps close to each other become one interval."""
    began = gathered.began
    room = (gathered.last_sign - began) / _MOMENTS
    found: list[tuple[float, float, str]] = []
    for step in gathered.of_main_process(gathered.steps):
        if found and step.start - found[-1][1] < room:
            found[-1] = (found[-1][0], step.at, "forward")
        else:
            found.append((step.start, step.at, "forward"))
    stretches = [(begin - began, end - began, "train") for begin, end, _ in found]
    phases = [
        (item.start - began, item.at - began, item.name)
        for item in gathered.of_main_process(gathered.phases)
    ]
    return stretches + phases


def steps(report: facts.Report) -> Html:
    """Return statistics, histogram and outliers of training steps."""
    found = report.steps
    if found is None:
        return tag("p", "No training step was recorded.")
    heads = ("count", "mean", "std", "min", "p50", "p95", "p99", "max")
    columns = [
        Column("phase"),
        *(Column(n, figure=True, minor=n in ("count", "std", "min", "p95", "p99")) for n in heads),
    ]
    rows = [
        [name, f"{item.count:,}", *(seconds(getattr(item, head)) for head in heads[1:])]
        for name, item in [
            ("Whole step", found.durations),
            *((part(n), d) for n, d in found.phases.items()),
        ]
    ]
    marks = {"p50": found.durations.p50, "p99": found.durations.p99}
    marks["outliers above"] = found.outlier_threshold
    return join(
        table("Duration of steps and phases", columns, rows),
        charts.bars("Steps by duration", found.histogram, seconds, marks),
        _outliers(found, report),
    )


def _outliers(found: facts.Steps, report: facts.Report) -> Html:
    title = tag(
        "h3", f"Outlier steps: {found.outlier_count:,} over {seconds(found.outlier_threshold)}"
    )
    if not found.outliers:
        return join(title, tag("p", "None."))
    several = len(report.job.processes) > 1
    columns = [Column("step"), Column("at", figure=True), Column("took", figure=True)]
    columns += [Column(name) for name in ("longer phases", "system metrics", "what else happened")]
    rows = [
        [
            f"{item.step:,}" + (f" ({item.process})" if several else ""),
            clock(item.at - report.job.started),
            seconds(item.seconds),
            "; ".join(
                f"{part(p.phase).lower()} {seconds(p.seconds)}, +{seconds(p.seconds - p.usual)} "
                f"(usually {seconds(p.usual)})"
                for p in item.longer
            ),
            "; ".join(
                f"{figure(u.name)}: {measure(u.value, unit(u.name))} "
                f"(usually {measure(u.usual, unit(u.name))})"
                for u in item.system
            )
            or "as usual",
            ", ".join(item.beside),
        ]
        for item in found.outliers
    ]
    shown = "Slowest first" if found.outlier_count == len(rows) else f"The {len(rows)} slowest"
    return join(title, table(shown, columns, rows, stacked=True))
