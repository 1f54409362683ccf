"""Finds what a write-up says about jobs of SageMaker: their descriptions, logs and recordings."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from scripts.aws import listing, logs, prices, recordings, recreated, sweeps, target, trials
from scripts.aws.client import Aws
from scripts.console.progress import Advance
from scripts.problem import Problem
from scripts.requests import jobs
from scripts.writeup import analysis
from scripts.writeup.story import Point, Recipe, Row, Run, Story, Tuning
from train import metrics
from train.metrics import OBJECTIVE

_Description = dict[str, Any]


def find(aws: Aws, names: Sequence[str], work: Path, out: Path, advance: Advance) -> Story:
    """Return the story of these jobs.

    Args:
        aws: clients.
        names: of training, tuning and transform jobs.
        work: a folder for what is downloaded.
        out: the folder for the pages of the reports.
        advance: moves a bar, by one for each job.

    Raises:
        Problem: no job has this name.
    """
    found = [listing.find(aws, name) for name in dict.fromkeys(names)]
    rows: list[Row] = []
    runs: list[Run] = []
    tunings: list[Tuning] = []
    own_runs = any(kind == jobs.TRAINING for kind, _ in found)
    origin: tuple[_Description, _Description | None] | None = None
    for kind, about in found:
        if kind == jobs.TUNING:
            tuning, described = _tuning(aws, about)
            tunings.append(tuning)
            rows += [_tuning_row(about, tuning), *(_row(one) for one in described)]
            best = next((one for one in described if _is_best(one, tuning)), None)
            example = best or (described[0] if described else None)
            if example and (origin is None or origin[1] is None):
                origin = (example, about)
            if best and not own_runs:
                runs.append(_run(aws, best, work, out, len(runs) + 1))
        elif kind == jobs.TRAINING:
            rows.append(_row(about))
            runs.append(_run(aws, about, work, out, len(runs) + 1))
            if swept := _sweep(aws, about):
                tunings.append(swept)
            origin = origin or (about, None)
        else:
            rows.append(_transform_row(about))
        advance(1)
    where = target.find(aws)
    return Story(
        where=str(where),
        rows=[*{row.job: row for row in rows}.values()],  # a trial can also be named itself
        runs=runs,
        tunings=tunings,
        on_aws=not where.emulator,
        recipe=_recipe(aws, origin, tunings, [run.row.job for run in runs], own_runs=own_runs),
    )


def _is_best(about: _Description, tuning: Tuning) -> bool:
    return tuning.best is not None and about["TrainingJobName"] == tuning.best.job


def _tuning(aws: Aws, about: _Description) -> tuple[Tuning, list[_Description]]:
    """Return the tuning job, and the descriptions of its trials, oldest first."""
    name = about["HyperParameterTuningJobName"]
    objective = about["HyperParameterTuningJobConfig"].get("HyperParameterTuningJobObjective", {})
    minimize = objective.get("Type") == "Minimize"
    tried = trials.fetch(aws, name)
    found = Tuning(
        job=name,
        kind=f"{about['HyperParameterTuningJobConfig']['Strategy'].lower()} search",
        objective=objective.get("MetricName", OBJECTIVE.name),
        minimize=minimize,
        trials=trials.ranked(tried, minimize=minimize),
    )
    return found, [aws.send(jobs.describe(jobs.TRAINING, one.job)) for one in tried]


def _sweep(aws: Aws, about: _Description) -> Tuning | None:
    """Return the trials of a sweep, from its log; None for any other job."""
    if not about.get("HyperParameters", {}).get("sweep"):
        return None
    name = about["TrainingJobName"]
    found = [sweeps.as_trial(one) for one in sweeps.fetch(aws, name)]
    return Tuning(name, "sweep: one job for all trials", OBJECTIVE.name, False, found)


def _row(about: _Description) -> Row:
    resources = about.get("ResourceConfig", {})
    final = {one["MetricName"]: one["Value"] for one in about.get("FinalMetricDataList", [])}
    return Row(
        job=about["TrainingJobName"],
        kind="trial" if about.get("TuningJobArn") else "training",
        status=about["TrainingJobStatus"],
        **_times(about, "TrainingStartTime", "TrainingEndTime"),
        machines=f"{resources.get('InstanceCount', 1)} x {resources.get('InstanceType', '?')}",
        billed=about.get("BillableTimeInSeconds"),
        dollars=prices.of_training(about),
        result=final.get(OBJECTIVE.name),
    )


def _tuning_row(about: _Description, tuning: Tuning) -> Row:
    return Row(
        job=tuning.job,
        kind="tuning",
        status=about["HyperParameterTuningJobStatus"],
        **_times(about, "CreationTime", "HyperParameterTuningEndTime"),
        machines=f"{len(tuning.trials)} trials",
        result=tuning.best.value if tuning.best and tuning.objective == OBJECTIVE.name else None,
    )


def _transform_row(about: _Description) -> Row:
    resources = about.get("TransformResources", {})
    instance, count = resources.get("InstanceType", "?"), resources.get("InstanceCount", 1)
    times = _times(about, "TransformStartTime", "TransformEndTime")
    seconds = times["seconds"]
    ended = about["TransformJobStatus"] in jobs.ENDED
    return Row(
        job=about["TransformJobName"],
        kind="transform",
        status=about["TransformJobStatus"],
        **times,
        machines=f"{count} x {instance}",
        dollars=prices.cost(instance, count, seconds) if ended and seconds is not None else None,
    )


def _times(about: _Description, first: str, last: str) -> dict[str, float | None]:
    start, end = about.get(first), about.get(last)
    if not start:
        return {"started": None, "seconds": None}
    until = end or datetime.now(UTC)
    return {"started": start.timestamp(), "seconds": (until - start).total_seconds()}


def _run(aws: Aws, about: _Description, work: Path, out: Path, number: int) -> Run:
    """Return a training job in detail: from its recording, and without one from its log."""
    name = about["TrainingJobName"]
    report, page, missing = None, f"report-{number}.html", ""
    try:
        folder = recordings.fetch_job(aws, about, work / str(number))
        running = about["TrainingJobStatus"] not in jobs.ENDED
        report = analysis.of_recording(folder, out / page, name, running=running)
    except Problem as problem:
        missing = str(problem)
    curves = analysis.curves(report) if report else {}
    return Run(
        row=_row(about),
        hyperparameters=recreated.hyperparameters(about.get("HyperParameters", {})),
        curves=curves or _logged(aws, name),
        best_epoch=analysis.best_epoch(report) if report else None,
        report=report,
        page=page if report else "",
        missing=missing,
        cost=prices.after_training(about) if about["TrainingJobStatus"] in jobs.ENDED else "",
    )


def _logged(aws: Aws, job: str) -> dict[str, list[Point]]:
    """Return the metrics in the log, for jobs that recorded nothing."""
    found: dict[str, dict[int, float]] = {}
    for line in logs.Log(aws, logs.TRAINING, f"{job}/").new_lines():
        if point := metrics.point(line.text):
            name, epoch, value = point
            found.setdefault(name, {})[epoch] = value  # a restarted job logs it again
    return {
        name: [Point(epoch, value) for epoch, value in sorted(points.items())]
        for name, points in found.items()
    }


def _recipe(
    aws: Aws,
    origin: tuple[_Description, _Description | None] | None,
    tunings: Sequence[Tuning],
    names: Sequence[str],
    *,
    own_runs: bool,
) -> Recipe:
    """Return the experiment of the first tuning job, else of the first training job."""
    if origin is None:
        return Recipe()
    content, remarks = recreated.experiment(*origin, aws.region)
    return Recipe(recreated.to_toml(content), remarks, commands(tunings, names, own_runs=own_runs))


def commands(tunings: Sequence[Tuning], names: Sequence[str], *, own_runs: bool) -> list[list[str]]:
    """Return the commands that do the same again with the experiment's file."""
    spec = "experiment.toml"
    found = [["kennel", "doctor", spec]]
    if tunings:
        found.append(["kennel", "tune", spec])
    if tunings and own_runs and names and names[0] != tunings[0].job:
        found.append(["kennel", "train", spec, "--from-tuning", "TUNING-JOB"])
    elif not tunings:
        found.append(["kennel", "train", spec])
    found.append(["kennel", "report", "JOB"])
    return found
