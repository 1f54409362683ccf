"""Writes the folder of a write-up: writeup.md, and its pictures next to it."""

import re
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from debugger.report.wording import clock, number
from scripts.aws import prices
from scripts.aws.trials import Trial
from scripts.problem import Problem
from scripts.writeup import drawing, sentences
from scripts.writeup.markdown import SENTENCE, block, code, commands, picture, table, text
from scripts.writeup.story import Prediction, Row, Run, Story, Tuning

FILE = "writeup.md"
# The names of the files that a write-up consists of; those of an earlier one are replaced.
_OWN = re.compile(r"writeup\.md|(curves|times|tuning|prediction|report)-\d{1,4}\.(png|html)")
_MOST_ROWS, _MOST_PICTURES = 200, 12
_METRICS = ("train:loss", "train:accuracy", "validation:loss", "validation:accuracy")


def check(out: Path) -> list[Path]:
    """Return the files of an earlier write-up in the folder.

    Raises:
        Problem: the folder has other files, or is no folder.
    """
    if not out.exists():
        return []
    try:
        files = sorted(out.iterdir())
    except OSError as error:
        raise Problem(f"--out {out}: {error.strerror}: give a folder") from None
    others = [file.name for file in files if not _OWN.fullmatch(file.name)]
    if others:
        raise Problem(
            f"{out} has other files, such as {others[0]}: give a new or empty folder with --out"
        )
    return files


def prepare(out: Path, pages: Path) -> None:
    """Make the folder, remove an earlier write-up in it, and move the pages of reports to it.

    Raises:
        Problem: as `check`, or the folder cannot be made.
    """
    for file in check(out):
        file.unlink()
    try:
        out.mkdir(parents=True, exist_ok=True)
        for file in pages.iterdir():
            shutil.move(file, out / file.name)
    except OSError as error:
        raise Problem(f"--out {out}: {error.strerror}: give a folder") from None


def write(story: Story, out: Path) -> Path:
    """Write the pictures and writeup.md into the folder; return the path of writeup.md."""
    with drawing.style():
        parts = list(_parts(story, out))
    file = out / FILE
    file.write_text("\n".join(parts), encoding="utf-8")
    return file


def _parts(story: Story, out: Path) -> Iterator[str]:
    """Yield the sections; each ends with a line break."""
    names = [run.row.job for run in story.runs] or [row.job for row in story.rows]
    yield f"# Write-up of {', '.join(map(code, names[:3]))}{' and others' * (len(names) > 3)}\n"
    made = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    yield f"From {text(story.where)}, written by `kennel writeup` on {made}.\n"
    yield from _jobs(story)
    for index, run in enumerate(story.runs, 1):
        yield from _metrics(run, out, index)
    for index, found in enumerate(story.tunings, 1):
        yield from _tuning(found, out, index)
    for index, run in enumerate(story.runs, 1):
        yield from _findings(run, out, index)
    yield from _predictions(story, out)
    yield from _costs(story)
    yield from _repeat(story)


def _jobs(story: Story) -> Iterator[str]:
    done = sum(row.status.lower() == "completed" for row in story.rows)
    yield "## Jobs\n"
    yield f"{done} of {len(story.rows)} completed. Times are in UTC.\n"
    columns = ["job", "kind", "status", "started", "took", "runs on", "accuracy", "cost"]
    rows = [_job_cells(row) for row in story.rows[:_MOST_ROWS]]
    yield table(columns, rows, right=(4, 6, 7)) + _more(len(story.rows))


def _job_cells(row: Row) -> list[str]:
    started = (
        ""
        if row.started is None
        else f"{datetime.fromtimestamp(row.started, UTC):%Y-%m-%d %H:%M:%S}"
    )
    return [
        code(row.job),
        row.kind,
        text(row.status),
        started,
        _took(row.seconds),
        text(row.machines),
        _value(row.result),
        "" if row.dollars is None else _dollars(row.dollars),
    ]


def _metrics(run: Run, out: Path, index: int) -> Iterator[str]:
    yield f"## Metrics of {code(run.row.job)}\n"
    file = f"curves-{index}.png"
    if not drawing.curves(run, out / file):
        yield "The job printed no metrics.\n"
        return
    yield picture(file, f"Loss and accuracy of {run.row.job} by epoch")
    if run.best_epoch:
        yield f"The dotted line is epoch {run.best_epoch}, whose weights are in the bundle.\n"
    shown = [name for name in _METRICS if name in run.curves]
    by_name = {name: {one.epoch: one.value for one in run.curves[name]} for name in shown}
    epochs = sorted({epoch for points in by_name.values() for epoch in points})
    rows = [
        [f"{epoch:g}", *(_value(by_name[name].get(epoch)) for name in shown)]
        for epoch in epochs[-_MOST_ROWS:]
    ]
    if rows:
        yield table(["epoch", *map(code, shown)], rows, right=range(len(shown) + 1))
    tests = {name: points[-1].value for name, points in run.curves.items()
             if name.startswith("test:") and points}  # fmt: skip
    if tests:
        listed = ", ".join(f"{code(name)} {_value(value)}" for name, value in tests.items())
        yield f"On the test pictures: {listed}.\n"


def _tuning(found: Tuning, out: Path, index: int) -> Iterator[str]:
    yield f"## Tuning {code(found.job)}\n" if found.job else "## The jobs compared\n"
    better = "lower" if found.minimize else "higher"
    ended = sum(one.value is not None for one in found.trials)
    yield (
        f"Kind: {text(found.kind)}. {ended} of {len(found.trials)} trials "
        f"have a value of {code(found.objective)}; {better} is better.\n"
    )
    file = f"tuning-{index}.png"
    if drawing.tuning(found, out / file):
        yield picture(file, f"{found.objective} of the trials over each hyperparameter")
    names = list(dict.fromkeys(name for one in found.trials for name in one.hyperparameters))
    rows = [
        [
            "**best**" if one is found.best else "",
            _value(one.value),
            *(text(one.hyperparameters.get(name, "")) for name in names),
            text(one.status),
            _took(one.seconds),
            code(one.job),
        ]
        for one in found.trials[:_MOST_ROWS]
    ]
    columns = ["", code(found.objective), *map(code, names), "status", "took", "job"]
    yield table(columns, rows, right=range(1, len(names) + 2)) + _more(len(found.trials))
    yield from _best(found.best, found)


def _best(best: Trial | None, found: Tuning) -> Iterator[str]:
    if best is None:
        yield "No trial has a result.\n"
        return
    yield "### The best hyperparameters\n"
    yield (f"{code(best.job)} is the best, with {code(found.objective)} {_value(best.value)}:\n")
    rows = [[code(name), code(value)] for name, value in best.hyperparameters.items()]
    yield table(["hyperparameter", "value"], rows)


def _findings(run: Run, out: Path, index: int) -> Iterator[str]:
    yield f"## What the profiler and the debugger found in {code(run.row.job)}\n"
    report = run.report
    if report is None:
        first = run.missing.splitlines()[0] if run.missing else "The job recorded nothing."
        yield f"There is no report: {text(first, SENTENCE)}\n"
        return
    yield _list(sentences.timing(report))
    file = f"times-{index}.png"
    if drawing.times(report, out / file):
        yield picture(file, f"Seconds of each phase of {run.row.job}")
    if listed := _list(sentences.steps(report)):
        yield "### Steps\n"
        yield listed
    yield "### Rules\n"
    yield _list(sentences.rules(report))
    rows = [
        [code(one.rule), f"{one.times:,}", f"{one.datapoints:,}", text(one.first[0].text, SENTENCE)]
        for one in sentences.triggered(report)
    ]
    if rows:
        yield table(["rule", "triggered", "datapoints", "first"], rows, right=(1, 2))
    if report.advice:
        yield "### What to do\n"
        yield _list(f"{one.finding} {one.remedy}" for one in report.advice)
    if run.page:
        yield f"Everything that was recorded: [{run.page}]({run.page}).\n"


def _predictions(story: Story, out: Path) -> Iterator[str]:
    yield "## Predictions\n"
    if not story.predictions:
        yield "None: `--endpoint NAME --photo FILE` adds some.\n"
        return
    yield f"The answers of the endpoint {code(story.endpoint)}.\n"
    for index, one in enumerate(story.predictions[:_MOST_PICTURES], 1):
        file = f"prediction-{index}.png"
        if one.scores and drawing.prediction(one, out / file):
            label, score = one.scores[0]
            yield picture(file, f"{one.photo.name}: {label} {100 * score:.1f} %")
    rows = [_prediction_cells(one) for one in story.predictions[:_MOST_ROWS]]
    columns = ["photo", "folder", "class 1", "class 2", "class 3", "took"]
    yield table(columns, rows, right=(5,)) + _more(len(story.predictions))
    known = [one for one in story.predictions if one.folder and one.scores]
    if known:
        right = sum(one.scores[0][0] == one.folder for one in known)
        yield f"{right} of {len(known)} are right, by the names of their folders.\n"


def _prediction_cells(one: Prediction) -> list[str]:
    took = one.answer.milliseconds
    cells = [code(one.photo.name), code(one.folder) if one.folder else ""]
    if not one.scores:
        return [*cells, text(one.answer.error), "", "", ""]
    best = [f"{text(label)} {score:.3f}" for label, score in one.scores[:3]]
    return [*cells, *best, *[""] * (3 - len(best)), "" if took is None else f"{took:.0f} ms"]


def _costs(story: Story) -> Iterator[str]:
    yield "## What it cost\n"
    priced = [row for row in story.rows if row.dollars is not None]
    if not priced:
        yield (
            "Not known: nothing was billed, or the machine is not in the price table. For folders, "
            "`--instance TYPE` names the machine that they ran on.\n"
        )
        return
    total = sum(row.dollars or 0.0 for row in priced)
    seconds = sum((row.seconds if row.billed is None else row.billed) or 0.0 for row in priced)
    jobs = f"{len(priced)} {'job' if len(priced) == 1 else 'jobs'}"
    if story.on_aws:
        kind = "billed" if all(row.billed is not None for row in priced) else "of running time"
        yield f"{jobs}, {clock(seconds)} {kind}: {_dollars(total)} ({prices.label()}).\n"
    else:
        yield (
            f"Nothing: it ran on the emulator. On AWS, {jobs} of {clock(seconds)} together would "
            f"cost {_dollars(total)} on the same machines, if they took as long "
            f"({prices.label()}).\n"
        )
    lines = [f"{code(run.row.job)}: {text(run.cost, SENTENCE)}" for run in story.runs if run.cost]
    if lines and story.on_aws:
        yield "".join(f"- {line}\n" for line in lines)
    yield "Endpoints, storage and images are not in it.\n"


def _repeat(story: Story) -> Iterator[str]:
    yield "## How to repeat it\n"
    recipe = story.recipe
    if recipe.toml:
        yield "`experiment.toml`:\n"
        yield block(recipe.toml, "toml")
    if recipe.remarks:
        yield _list(line for remark in recipe.remarks for line in remark.splitlines() if line)
    if recipe.commands:
        yield commands(recipe.commands)


def _list(lines: Iterator[str]) -> str:
    return "".join(f"- {text(line, SENTENCE)}\n" for line in lines)


def _more(count: int) -> str:
    return "" if count <= _MOST_ROWS else f"\nand {count - _MOST_ROWS:,} more.\n"


def _took(seconds: float | None) -> str:
    return "" if seconds is None else sentences.whole(seconds).replace(" ", "&nbsp;")


def _value(value: float | None) -> str:
    return "" if value is None else number(value, 4)


def _dollars(dollars: float) -> str:
    return f"${dollars:,.2f}" if dollars >= 0.1 or not dollars else f"${dollars:.4f}"
