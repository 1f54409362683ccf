"""`kennel report`: what happened inside a training job, as one HTML file and as figures here."""

import tempfile
from pathlib import Path
from typing import Annotated, Any

import typer

from scripts.aws import recordings
from scripts.aws.client import Aws
from scripts.console import shown
from scripts.console.names import bucket_and_key
from scripts.problem import Problem
from scripts.requests import objects, running
from scripts.requests.request import Request
from scripts.verbs import options

_RUNNING = ("InProgress", "Stopping")


def report(
    what: Annotated[
        str, typer.Argument(metavar="JOB|DIR|s3://…", help="a job's name, or its recording")
    ],
    output: Annotated[
        Path | None, typer.Option(help="the HTML file; <job>-report.html if unset")
    ] = None,
    tensorboard: Annotated[
        Path | None, typer.Option(metavar="DIR", help="write TensorBoard's event files too")
    ] = None,
    smdebug: Annotated[
        Path | None, typer.Option(metavar="DIR", help="write the files that smdebug reads too")
    ] = None,
    region: options.Region = None,
    as_json: options.AsJson = False,
    dry_run: options.DryRun = False,
) -> None:
    """Report on a training job: where its time went, which rules fired, what to do."""
    if dry_run:
        shown.dry(_requests(what))
        return
    with tempfile.TemporaryDirectory() as temporary:
        found, is_running = _find(what, region, Path(temporary))
        target = output or Path(f"{_name(what)}-report.html")
        facts = _write(found, target, tensorboard, smdebug, is_running=is_running)
    shown.tell(facts.model_dump_json(indent=2)) if as_json else _show(facts)
    shown.say(f"report: {target}")
    if tensorboard:
        shown.say(f"curves: tensorboard --logdir {tensorboard}")
    if smdebug:
        shown.say(f"for smdebug: {smdebug}/debug-output, {smdebug}/profiler-output")


def _requests(what: str) -> list[Request]:
    if what.startswith("s3://"):
        return [objects.listed(*bucket_and_key(what))]
    return [] if Path(what).exists() else [running.training_job(what)]


def _find(what: str, region: str | None, temporary: Path) -> tuple[Path, bool]:
    """The folder with the recording, and whether the job still runs."""
    path = Path(what)
    if path.is_dir():
        return path, False
    if path.is_file():
        recordings.unpack(path, temporary)
        return temporary, False
    aws = Aws(region)
    if what.startswith("s3://"):
        if not recordings.fetch(aws, what, temporary):
            raise Problem(f"nothing lies below {what}")
        return temporary, False
    about = _described(aws, what)
    return recordings.of_job(aws, about, temporary), about["TrainingJobStatus"] in _RUNNING


def _described(aws: Aws, name: str) -> dict[str, Any]:
    """The training job, or the best one of a tuning job."""
    from scripts.verbs import jobs

    kind, about = jobs.find(aws, name)
    if kind.name == "TrainingJob":
        return about
    best = about.get("BestTrainingJob")
    if not best:
        raise Problem(f"{name} is no training job, and has none: name one of `kennel jobs`")
    shown.say(f"the best of {name}: {best['TrainingJobName']}")
    return aws.send(running.training_job(best["TrainingJobName"]))


def _write(
    found: Path, target: Path, tensorboard: Path | None, smdebug: Path | None, *, is_running: bool
) -> Any:
    """Write what was asked for; the facts.

    The debugger's packages are slow to import: only when they are needed.
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
    """The headline, where the time went, what fired, what to do."""
    from debugger.report import wording

    shown.tell(facts.headline)
    shown.tell("")
    shown.table(
        ["phase", "seconds", "share"],
        [
            [wording.part(one.name), f"{one.seconds:,.1f}", wording.share(one.share)]
            for one in facts.time.parts
        ],
        none="no time was recorded",
    )
    fired = [one for one in facts.judging if one.status == "fired"]
    if fired:
        shown.tell("")
        shown.table(
            ["rule", "triggered", "datapoints", "first"],
            [
                [one.rule, f"{one.times:,}", f"{one.datapoints:,}", one.first[0].text]
                for one in fired
            ],
            none="no rule fired",
        )
    for one in facts.advice:
        shown.tell(f"\n{one.finding}\n  {one.remedy}")
