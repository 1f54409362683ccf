"""Finds what a write-up says about jobs in folders: a recording, or a job's output."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from debugger.report.facts import Report
from scripts.aws import prices, recordings, recreated, sweeps, trials
from scripts.aws.client import Aws
from scripts.console.progress import Advance
from scripts.problem import Problem
from scripts.requests.secrets import masked
from scripts.spec.section import Scalar
from scripts.writeup import analysis
from scripts.writeup.jobs import commands
from scripts.writeup.story import Point, Recipe, Row, Run, Story, Tuning
from train.config import TrainConfig
from train.metrics import OBJECTIVE

_LARGEST = 256 * 2**20  # bytes of a JSON file


def find(
    places: Sequence[str],
    work: Path,
    out: Path,
    advance: Advance,
    *,
    instance: str | None = None,
    region: str | None = None,
) -> Story:
    """Return the story of the jobs in folders, archives and S3 addresses.

    Args:
        places: each is the recording or the output of one job.
        work: a folder for what is unpacked.
        out: the folder for the pages of the reports.
        advance: moves a bar, by one for each job.
        instance: the type that they ran on, for their cost; a folder does not say it.
        region: for S3 addresses.

    Raises:
        Problem: a place has neither a recording nor the figures of a job.
    """
    runs: list[Run] = []
    tunings: list[Tuning] = []
    for number, place in enumerate(dict.fromkeys(places), 1):
        folder = _opened(place, work / str(number), region)
        run = _run(folder, place, out, number, instance)
        runs.append(run)
        if swept := _sweep(folder, run.row.job):
            tunings.append(swept)
        advance(1)
    if compared := _compared(runs):
        tunings.append(compared)
    return Story(
        where="folders on this machine",
        rows=[run.row for run in runs],
        runs=runs,
        tunings=tunings,
        on_aws=True,
        recipe=_recipe(runs[0]),
    )


def _opened(place: str, work: Path, region: str | None) -> Path:
    """Return the folder, or a new one with what is in the archive or below the S3 address."""
    if place.startswith("s3://"):
        if not recordings.fetch(Aws(region), place, work):
            raise Problem(f"there is nothing below {place}")
        return work
    if Path(place).is_dir():
        return Path(place)
    recordings.unpack(Path(place), work)
    return work


def _run(folder: Path, place: str, out: Path, number: int, instance: str | None) -> Run:
    page, missing = f"report-{number}.html", ""
    report: Report | None = None
    try:
        report = analysis.of_recording(folder, out / page, place, running=False)
    except Problem as problem:
        page, missing = "", str(problem)
        report = _saved_report(folder)
    figures = _json(folder, "metrics.json")
    if report is None and figures is None:
        raise Problem(f"{missing}, and no report.json or metrics.json of a job")
    name = Path(place.rstrip("/")).name.removesuffix(".tar.gz")
    return Run(
        row=_row(report, figures or {}, name, instance),
        hyperparameters=_hyperparameters(report),
        curves=(analysis.curves(report) if report else {}) or _history(figures or {}),
        best_epoch=analysis.best_epoch(report) if report else _whole(figures, "best_epoch"),
        report=report,
        page=page,
        missing="" if report else missing,
    )


def _row(report: Report | None, figures: Mapping[str, Any], name: str, instance: str | None) -> Row:
    if report is None:
        values = [point.value for point in _history(figures).get(OBJECTIVE.name, [])]
        return Row(name, "training", "unknown", result=max(values, default=None))
    about = report.job
    hosts = len({one.rpartition(", rank")[0] for one in about.processes}) or 1
    device = str(about.about.get("device", "?"))
    return Row(
        job=about.name or name,
        kind="training",
        status=about.status,
        started=about.started,
        seconds=about.seconds,
        machines=f"{hosts} x {instance or device}",
        dollars=prices.cost(instance, hosts, about.seconds) if instance else None,
        result=analysis.accuracy(report),
    )


def _hyperparameters(report: Report | None) -> dict[str, Scalar]:
    """Return the hyperparameters of the job, without secrets."""
    given = report.job.about.get("hyperparameters") if report else None
    if not isinstance(given, Mapping):
        return {}
    return {
        str(name): masked(value, str(name))
        for name, value in given.items()
        if isinstance(value, bool | int | float | str)
    }


def _saved_report(folder: Path) -> Report | None:
    """Return the facts that the job itself wrote; None if there are none."""
    for file in sorted(folder.rglob("report.json")):
        try:
            return Report.model_validate_json(_read(file))
        except ValidationError:
            continue  # another program's file
    return None


def _history(figures: Mapping[str, Any]) -> dict[str, list[Point]]:
    """Return the metrics of metrics.json by epoch, from 1."""
    found: dict[str, list[Point]] = {}
    for number, epoch in enumerate(figures.get("history", []), 1):
        for name, value in epoch.items() if isinstance(epoch, dict) else ():
            if ":" in name and isinstance(value, int | float):
                found.setdefault(name, []).append(Point(number, float(value)))
    return found


def _sweep(folder: Path, job: str) -> Tuning | None:
    """Return the trials of a sweep, from sweep.json; None for any other job."""
    content = _json(folder, "sweep.json")
    if content is None:
        return None
    facts = [
        {name: value for name, value in one.items() if name != "history"}
        for one in content.get("trials", [])
        if isinstance(one, dict) and isinstance(one.get("trial"), int)
    ]
    found = [sweeps.as_trial(one) for one in sorted(facts, key=sweeps.rank)]
    return Tuning(job, "sweep: one job for all trials", OBJECTIVE.name, False, found)


def _compared(runs: Sequence[Run]) -> Tuning | None:
    """Return the jobs as trials, if they differ in their hyperparameters."""
    tried = [
        trials.Trial(
            job=run.row.job,
            status=run.row.status,
            hyperparameters=run.hyperparameters,
            value=run.row.result,
            seconds=run.row.seconds,
        )
        for run in runs
    ]
    found = Tuning("", "jobs compared", OBJECTIVE.name, False, trials.ranked(tried, minimize=False))
    if len(runs) < 2 or not found.varied:
        return None
    varied = [
        trials.Trial(
            one.job,
            one.status,
            {name: one.hyperparameters[name] for name in found.varied
             if name in one.hyperparameters},
            one.value,
            one.seconds,
        )
        for one in found.trials
    ]  # fmt: skip
    return Tuning("", found.kind, found.objective, False, varied)


def _recipe(run: Run) -> Recipe:
    if not run.hyperparameters:
        return Recipe(remarks=["The folder does not say which hyperparameters the job had."])
    defaults = {name: field.default for name, field in TrainConfig.model_fields.items()}
    given = {
        name: value
        for name, value in run.hyperparameters.items()
        if name not in defaults or value != defaults[name]
    }
    toml = recreated.to_toml({"hyperparameters": given})
    remark = (
        "A folder holds the hyperparameters only: put them into an experiment with your data, "
        "images and machines (docs/kennel.md). The command kennel init writes one."
    )
    return Recipe(toml, [remark], commands([], [run.row.job], own_runs=True))


def _json(folder: Path, name: str) -> dict[str, Any] | None:
    """Return the first JSON object with this name in the folder; None if there is none."""
    for file in sorted(folder.rglob(name)):
        try:
            content = json.loads(_read(file))
        except (ValueError, RecursionError):
            continue
        if isinstance(content, dict):
            return content
    return None


def _read(file: Path) -> str:
    if not file.is_file() or file.stat().st_size > _LARGEST:
        raise Problem(f"{file} has more than {_LARGEST:,} bytes or is no file: give a job's output")
    return file.read_text(errors="replace")


def _whole(figures: Mapping[str, Any] | None, name: str) -> int | None:
    value = (figures or {}).get(name)
    return value if isinstance(value, int) else None
