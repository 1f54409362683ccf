"""What the profiler and the debugger found, in sentences with the job's own figures."""

from collections.abc import Iterator
from datetime import UTC, datetime

from debugger.report.facts import Report, Rule
from debugger.report.wording import count, part, seconds, share, times

_OUTSIDE = ("data_wait", "checkpoint", "recording", "other")
_MOST_PARTS = 4


def whole(value: float) -> str:
    """Return seconds to the whole second from ten seconds on, as `4,088 s`."""
    return f"{value:,.0f} s" if value >= 10 else seconds(value)


def timing(report: Report) -> Iterator[str]:
    """Yield when the job started, how long it took, and what in it was neither TRAIN nor EVAL."""
    about, time = report.job, report.time
    took = {one.name: one for one in time.parts}
    started = datetime.fromtimestamp(about.started, UTC)
    begin, end = took["initialisation"], took["finalisation"]
    loop = time.loop / time.seconds if time.seconds else 0.0
    yield (
        f"The job started on {started:%Y-%m-%d} at {started:%H:%M:%S} UTC and ran "
        f"{whole(time.seconds)} in all: {whole(time.loop)} in the training loop ({share(loop)}), "
        f"{whole(begin.seconds)} for initialisation ({share(begin.share)}) and "
        f"{whole(end.seconds)} for finalisation ({share(end.share)})."
    )
    attempts = len(about.attempts)
    if attempts > 1:
        lost = max(about.seconds - time.seconds, 0.0)
        yield f"It was started {times(attempts)}; {whole(lost)} between the starts do not count."
    if not time.loop:
        return
    yield (
        f"Of the loop, {share(time.train / time.loop)} was TRAIN ({whole(time.train)}) and "
        f"{share(time.evaluation / time.loop)} EVAL ({whole(time.evaluation)})."
    )
    parts = sorted((took[name] for name in _OUTSIDE if name in took), key=lambda one: -one.seconds)
    listed = [
        f"{part(one.name).lower()} {whole(one.seconds)}"
        for one in parts[:_MOST_PARTS]
        if one.seconds > 0.005 * time.loop
    ]
    in_it = f": {', '.join(listed)}" if listed else ""
    yield (
        f"{share(time.others / time.loop)} of it ({whole(time.others)}) was neither TRAIN nor "
        f"EVAL{in_it}."
    )


def steps(report: Report) -> Iterator[str]:
    """Yield how long training steps took, and which were outliers."""
    found = report.steps
    if found is None:
        return
    took = found.durations
    yield (
        f"{count(took.count, 'training step')} took {seconds(took.mean)} on average, 95 % of them "
        f"at most {seconds(took.p95)}, and the slowest {seconds(took.max)}: "
        f"{found.pictures_per_second:,.0f} pictures a second."
    )
    if not found.outlier_count:
        yield "No step was an outlier."
        return
    every = f", mostly every {found.outlier_every} steps" if found.outlier_every else ""
    slowest = found.outliers[0]
    why = f", mainly in {part(slowest.longer[0].phase).lower()}" if slowest.longer else ""
    yield (
        f"Outliers: {count(found.outlier_count, 'step')} took over "
        f"{seconds(found.outlier_threshold)}{every}, which cost {whole(found.outlier_seconds)}. "
        f"The slowest was step {slowest.step:,}, with {seconds(slowest.seconds)}{why}."
    )


def triggered(report: Report) -> list[Rule]:
    """Return the rules that triggered, most often first."""
    return [one for one in report.judging if one.status == "fired"]


def rules(report: Report) -> Iterator[str]:
    """Yield which rules triggered, how often, and on how many datapoints."""
    found = triggered(report)
    checked = len(report.judging)
    if not found:
        yield f"None of the {count(checked, 'rule')} that had data triggered."
        return
    first, *others = found
    yield (
        f"{len(found)} of the {count(checked, 'rule')} that had data triggered. {first.rule} "
        f"triggered most: {times(first.times)}, with {count(first.datapoints, 'datapoint')}."
    )
    for one in others:
        amount = count(one.datapoints, "datapoint")
        yield f"{one.rule} triggered {times(one.times)}, with {amount}."
