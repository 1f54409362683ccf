"""The top of the page: verdict, key figures, advice, time split; and the facts of the job."""

import json
from typing import Any

from debugger.report import facts
from debugger.report.drawing.markup import Html, join, tag
from debugger.report.drawing.tables import Column, folded, table
from debugger.report.wording import (
    accuracy,
    clock,
    count,
    dollars,
    moment,
    number,
    part,
    seconds,
    share,
)

_WORDS = {
    "completed": "Completed",
    "stopped": "Stopped",
    "failed": "Failed",
    "ended abruptly": "Ended abruptly",
    "running": "Still running",
    "unknown": "End not recorded",
}


def verdict(report: facts.Report) -> Html:
    """Return the head of the page."""
    job = report.job
    word = tag("span", _WORDS[job.status], class_=f"badge {job.status.split()[-1]}")
    started = f"{moment(job.started)} · {clock(job.seconds)} · {', '.join(job.processes[:4])}"
    more = f" and {len(job.processes) - 4} more" if len(job.processes) > 4 else ""
    return tag(
        "header",
        tag("p", "Kennel · training report", class_="brand"),
        tag("h1", job.name or "Training job", " ", word),
        tag("p", started + more, class_="quiet"),
        tag("p", report.headline, class_="verdict"),
        _end(job),
        tag("div", *_tiles(report), class_="tiles"),
    )


def _end(job: facts.Job) -> Html | None:
    if job.status == "failed" and job.reason:
        return tag("pre", job.reason, class_="alarm", role="note")
    if job.status != "ended abruptly":
        return None
    step = (
        "no step was completed" if job.last_step is None else f"the last step was {job.last_step:,}"
    )
    return tag(
        "p",
        tag("b", "The job ended abruptly. "),
        f"Its recording has no end. The last record is from {moment(job.last_sign)}, "
        f"{seconds(job.last_sign - job.started)} after the start; {step}. The job was killed (out "
        "of memory, or a spot interruption), or its machine failed.",
        class_="alarm",
        role="note",
    )


def _tiles(report: facts.Report) -> list[Html]:
    fired = [item for item in report.judging if item.status == "fired"]
    tiles = [tile(clock(report.job.seconds), f"in total ({seconds(report.job.seconds)})")]
    if report.steps:
        steps = report.steps
        tiles += [
            tile(
                f"{steps.durations.count:,}", f"training steps, {count(report.job.epochs, 'epoch')}"
            ),
            tile(
                seconds(steps.durations.p50),
                f"per step (median); p99 {seconds(steps.durations.p99)}",
            ),
            tile(number(steps.pictures_per_second), "pictures per second in training steps"),
        ]
    if best := report.best_accuracy:
        epoch, value = best
        which = f"trial {report.trials.best}, " if report.trials and report.trials.best else ""
        tiles.append(tile(accuracy(value), f"best validation accuracy, {which}epoch {epoch}"))
    if test := report.curves.get("test:accuracy"):
        tiles.append(tile(accuracy(test[-1].value), "test accuracy"))
    if report.trials:
        tiles.append(tile(f"{len(report.trials.trials)}", "trials of the sweep"))
    if report.cost and (total := report.cost.total) is not None:
        machines = f"{report.cost.machines} x {report.cost.instance_type}"
        tiles.append(tile(dollars(total), f"estimated cost, {machines}"))
    if report.rules:
        tiles.append(tile(f"{len(fired)} of {len(report.judging)}", "rules with data fired"))
    return tiles


def tile(figure: str, meaning: str) -> Html:
    """Return a key figure and what it means."""
    return tag("div", tag("b", figure), tag("span", meaning), class_="tile")


def advice(report: facts.Report) -> Html:
    """Return the advice, most expensive first."""
    if not report.advice:
        return tag("p", "No phase costs an unusual amount of time.")
    items = [
        tag(
            "li",
            tag("p", item.finding, class_="finding"),
            tag("p", item.remedy, class_="quiet"),
            tag("span", f"up to {clock(item.seconds)}", class_="cost"),
        )
        for item in report.advice
    ]
    return tag("ol", *items, class_="advice")


def time(report: facts.Report) -> Html:
    """Return where the time went, as a bar and as tables."""
    split = report.time
    words = "; ".join(
        f"{part(item.name)} {share(item.share)}" for item in split.parts if item.seconds
    )
    bar = tag(
        "div",
        *(
            tag(
                "i",
                style=f"flex-grow:{1000 * item.share:.3f}",
                class_=f"p-{item.name}",
                title=f"{part(item.name)}: {seconds(item.seconds)}, {share(item.share)}",
            )
            for item in split.parts
            if item.seconds
        ),
        class_="bar",
        role="img",
        aria_label=f"Time by phase: {words}",
    )
    by_phase = table(
        "By phase",
        [Column("phase"), Column("seconds", figure=True), Column("share", figure=True)],
        [
            [
                tag(
                    "span",
                    tag("i", class_=f"key p-{item.name}", aria_hidden="true"),
                    part(item.name),
                ),
                f"{item.seconds:,.1f}",
                share(item.share),
            ]
            for item in split.parts
        ],
    )
    return join(bar, tag("div", by_phase, _aws(split), class_="pair"), _attempts(report.job))


def _aws(split: facts.Time) -> Html:
    begin, end = split.parts[0], split.parts[-1]
    loop, train = split.loop or 1.0, split.train or 1.0
    columns = [Column("part"), Column("seconds", figure=True), Column("part of")]
    columns.append(Column("share", figure=True))
    whole = split.seconds or 1.0
    rows = [
        ("Initialisation", begin.seconds, "job", whole),
        ("Training loop", split.loop, "job", whole),
        ("Finalisation", end.seconds, "job", whole),
        ("TRAIN steps", split.train, "loop", loop),
        ("EVAL steps", split.evaluation, "loop", loop),
        ("Others: neither TRAIN nor EVAL", split.others, "loop", loop),
        ("Forward", split.forward, "TRAIN", train),
        ("Backward", split.backward, "TRAIN", train),
    ]
    return table(
        "As AWS counts it",
        columns,
        [[name, f"{took:,.1f}", of, share(took / total)] for name, took, of, total in rows],
    )


def _attempts(job: facts.Job) -> Html | None:
    if len(job.attempts) < 2:
        return None
    rows = []
    for index, item in enumerate(job.attempts):
        following = job.attempts[index + 1 :]
        gap = f"{seconds(following[0].started - item.last_sign)}" if following else ""
        steps = "none" if item.first_step is None else f"{item.first_step:,} to {item.last_step:,}"
        ended = item.status or ("abruptly" if following or job.status != "running" else "running")
        rows.append(
            [
                f"{index + 1}",
                moment(item.started),
                seconds(item.last_sign - item.started),
                steps,
                ended,
                gap,
            ]
        )
    columns = [Column("start"), Column("at"), Column("duration", figure=True)]
    columns += [
        Column("steps", figure=True),
        Column("ended"),
        Column("time until next start", figure=True),
    ]
    return table(f"The job was started {len(job.attempts)} times", columns, rows)


def about(job: facts.Job) -> Html:
    """Return the facts of the job."""
    known = {
        "job": job.name,
        "started": moment(job.started),
        "last record": moment(job.last_sign),
        "seconds": f"{job.seconds:,.1f}",
        "processes": f"{job.world} ({'; '.join(job.processes)})",
    }
    nested = {k: v for k, v in job.about.items() if isinstance(v, dict)}
    flat = {
        k: v for k, v in job.about.items() if k not in (*nested, "classes", "class_names", "world")
    }
    classes = job.about.get("classes")
    if classes is not None:
        flat["classes"] = len(classes) if isinstance(classes, list | tuple) else classes
    parts = [_listed(known | {k.replace("_", " "): _plain(v) for k, v in flat.items()})]
    for name, values in nested.items():
        shown = {k: _plain(v) for k, v in values.items()}
        parts.append(folded(f"{name.capitalize()} ({len(values)})", _listed(shown)))
    if job.notes:
        parts.append(tag("h3", "Notes of the recorder"))
        parts.append(tag("ul", *(tag("li", item) for item in job.notes)))
    return join(*parts)


def _listed(values: dict[str, str]) -> Html:
    pairs = [tag("div", tag("dt", name), tag("dd", value)) for name, value in values.items()]
    return tag("dl", *pairs)


def _plain(value: Any) -> str:
    if value is None:
        return "unset"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return number(value, 4)
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
