"""`kennel report`: what happened inside a training job, as one HTML file and on the terminal."""

import tempfile
from pathlib import Path
from typing import Annotated, Any

import typer

from scripts.aws import recordings
from scripts.aws.client import Aws
from scripts.aws.listing import find
from scripts.console import terminal
from scripts.console.names import bucket_and_key
from scripts.problem import Problem
from scripts.requests import jobs, objects
from scripts.requests.request import Request
from scripts.verbs import options

_RUNNING = ("InProgress", "Stopping")


def report(
    what: Annotated[
        str, typer.Argument(metavar="JOB|DIR|s3://…", help="a job's name, or a recording")
    ],
    output: Annotated[
        Path | None, typer.Option(help="the HTML file; default: <job>-report.html")
    ] = None,
    tensorboard: Annotated[
        Path | None, typer.Option(metavar="DIR", help="also write TensorBoard event files")
    ] = None,
    smdebug: Annotated[
        Path | None, typer.Option(metavar="DIR", help="also write files for smdebug")
    ] = None,
    region: options.Region = None,
    as_json: options.AsJson = False,
    dry_run: options.DryRun = False,
) -> None:
    """Write a report about a training job.

    It shows where the time went, which rules triggered, and what to do.
    """
    if dry_run:
        terminal.dry_run(_requests(what))
        return
    with tempfile.TemporaryDirectory() as temporary:
        found, is_running = _fetch(what, region, Path(temporary))
        target = output or Path(f"{_name(what)}-report.html")
        facts = _write(found, target, tensorboard, smdebug, is_running=is_running)
    terminal.result(facts.model_dump_json(indent=2)) if as_json else _show(facts)
    terminal.note(f"report: {target}")
    if tensorboard:
        terminal.note(f"curves: tensorboard --logdir {tensorboard}")
    if smdebug:
        terminal.note(f"for smdebug: {smdebug}/debug-output, {smdebug}/profiler-output")


def _requests(what: str) -> list[Request]:
    if what.startswith("s3://"):
        return [objects.list_objects(*bucket_and_key(what))]
    return [] if Path(what).exists() else [jobs.describe(jobs.TRAINING, what)]


def _fetch(what: str, region: str | None, temporary: Path) -> tuple[Path, bool]:
    """Return the folder with the recording, and whether the job still runs."""
    path = Path(what)
    if path.is_dir():
        return path, False
    if path.is_file():
        recordings.unpack(path, temporary)
        return temporary, False
    aws = Aws(region)
    if what.startswith("s3://"):
        if not recordings.fetch(aws, what, temporary):
            raise Problem(f"there is nothing below {what}")
        return temporary, False
    about = _describe(aws, what)
    return recordings.fetch_job(aws, about, temporary), about["TrainingJobStatus"] in _RUNNING


def _describe(aws: Aws, name: str) -> dict[str, Any]:
    """The training job, or the best one of a tuning job."""
    kind, about = find(aws, name)
    if kind == jobs.TRAINING:
        return about
    best = about.get("BestTrainingJob")
    if not best:
        raise Problem(f"{name} has no training job: give one of `kennel jobs`")
    terminal.note(f"the best trial of {name}: {best['TrainingJobName']}")
    return aws.send(jobs.describe(jobs.TRAINING, best["TrainingJobName"]))


def _write(
    found: Path, target: Path, tensorboard: Path | None, smdebug: Path | None, *, is_running: bool
) -> Any:
    """Write the requested files; return the facts of the report.

    The debugger's packages are slow to import, so they are imported here.
    """
    from debugger import formats
    from debugger import report as reporting
    from debugger.recording import RecordingError
    from debugger.rules import RuleSettingsError

    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        facts = reporting.write(found, target, running=is_running)
        if tensorboard:
            formats.to_tensorboard(formats.read(found), tensorboard)
        if smdebug:
            formats.to_smdebug(formats.read(found), smdebug, found)
    except (RecordingError, RuleSettingsError) as error:
        raise Problem(str(error)) from error
    return facts


def _name(what: str) -> str:
    return what.rstrip("/").rpartition("/")[2].removesuffix(".tar.gz") or "job"


def _show(facts: Any) -> None:
    """Print the headline, where the time went, which rules triggered, and what to do."""
    from debugger.report import wording

    terminal.result(facts.headline)
    terminal.result("")
    terminal.table(
        ["phase", "seconds", "share"],
        [
            [wording.part(one.name), f"{one.seconds:,.1f}", wording.share(one.share)]
            for one in facts.time.parts
        ],
        if_empty="no time was recorded",
    )
    fired = [one for one in facts.judging if one.status == "fired"]
    if fired:
        terminal.result("")
        terminal.table(
            ["rule", "triggered", "datapoints", "first"],
            [
                [one.rule, f"{one.times:,}", f"{one.datapoints:,}", one.first[0].text]
                for one in fired
            ],
            if_empty="no rule triggered",
        )
    for one in facts.advice:
        terminal.result(f"\n{one.finding}\n  {one.remedy}")
