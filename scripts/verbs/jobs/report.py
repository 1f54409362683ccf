"""`kennel report`: what happened inside a training job, as one HTML file and on the terminal."""

import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import typer

from scripts.aws import prices, recordings
from scripts.aws.client import Aws
from scripts.aws.listing import find
from scripts.console import progress, terminal
from scripts.console.names import bucket_and_key
from scripts.problem import Problem
from scripts.requests import jobs, objects
from scripts.requests.request import Request
from scripts.spec.instances import has_gpu
from scripts.verbs import options
from scripts.verbs.jobs import tuning_report

_RUNNING = ("InProgress", "Stopping")


def report(
    what: Annotated[
        str, typer.Argument(metavar="JOB|DIR|s3://…", help="a job's name, or a recording")
    ],
    against: Annotated[
        str | None,
        typer.Option(metavar="JOB|DIR|s3://…", help="another job: show what changed since it"),
    ] = None,
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
    """Write a report about a training job, a sweep or a tuning job.

    It shows where the time went, which rules triggered, and what to do. For a tuning job, it shows
    the trials.
    """
    if dry_run:
        terminal.dry_run([*_requests(what), *(_requests(against) if against else [])])
        return
    target = output or Path(f"{_name(what)}-report.html")
    if _is_job(what):
        aws = Aws(region)
        kind, about = find(aws, what)
        if kind == jobs.TUNING:
            if against or tensorboard or smdebug:
                raise Problem(
                    f"{what} is a tuning job: --against, --tensorboard and --smdebug need a "
                    f"training job, such as one of its trials (`kennel best {what}`)"
                )
            facts = tuning_report.write(aws, about, target)
            if as_json:
                terminal.result(facts.model_dump_json(indent=2))
            else:
                tuning_report.show(facts, what)
            terminal.note(f"report: {target}")
            return
    with tempfile.TemporaryDirectory() as temporary:
        found = _fetch(what, region, Path(temporary) / "job")
        other = _fetch(against, region, Path(temporary) / "other") if against else None
        with progress.working(f"writing {target}"):
            facts = _write(found, target, tensorboard, smdebug, other)
    terminal.result(facts.model_dump_json(indent=2)) if as_json else _show(facts)
    terminal.note(f"report: {target}")
    if tensorboard:
        terminal.note(f"curves: tensorboard --logdir {tensorboard}")
    if smdebug:
        terminal.note(f"for smdebug: {smdebug}/debug-output, {smdebug}/profiler-output")


@dataclass(frozen=True)
class _Found:
    """A recording, and the job's description if it was asked for."""

    folder: Path
    about: dict[str, Any] = field(default_factory=dict)

    @property
    def is_running(self) -> bool:
        return self.about.get("TrainingJobStatus") in _RUNNING


def _requests(what: str) -> list[Request]:
    if what.startswith("s3://"):
        return [objects.list_objects(*bucket_and_key(what))]
    return [jobs.describe(jobs.TRAINING, what)] if _is_job(what) else []


def _is_job(what: str) -> bool:
    return not (what.startswith("s3://") or Path(what).exists())


def _fetch(what: str, region: str | None, temporary: Path) -> _Found:
    """Fetch a recording to `temporary`, unless it is a folder."""
    path = Path(what)
    if path.is_dir():
        return _Found(path)
    temporary.mkdir()
    if path.is_file():
        recordings.unpack(path, temporary)
        return _Found(temporary)
    aws = Aws(region)
    if what.startswith("s3://"):
        if not recordings.fetch(aws, what, temporary):
            raise Problem(f"there is nothing below {what}")
        return _Found(temporary)
    kind, about = find(aws, what)
    if kind != jobs.TRAINING:
        raise Problem(f"{what} is no training job: give one of `kennel jobs`")
    return _Found(recordings.fetch_job(aws, about, temporary), about)


def _write(
    found: _Found,
    target: Path,
    tensorboard: Path | None,
    smdebug: Path | None,
    other: _Found | None,
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
        facts = reporting.write(
            found.folder,
            target,
            running=found.is_running,
            cost=_cost(found),
            against=other.folder if other else None,
            against_cost=_cost(other) if other else None,
        )
        if tensorboard:
            formats.to_tensorboard(formats.read(found.folder), tensorboard)
        if smdebug:
            formats.to_smdebug(formats.read(found.folder), smdebug, found.folder)
    except (RecordingError, RuleSettingsError) as error:
        raise Problem(str(error)) from error
    return facts


def _cost(found: _Found) -> Any:
    """Return the prices of the job's machine and of the cheapest with a GPU, and its billed time.

    Without the job's description, the recording says on which machine it ran.
    """
    from debugger import formats
    from debugger.records import Start
    from debugger.report.facts import Cost

    resources = found.about.get("ResourceConfig") or {}
    instance, machines = resources.get("InstanceType"), resources.get("InstanceCount", 1)
    if instance is None:
        first = next(iter(formats.read(found.folder)), None)
        known = first.facts.get("instance_type") if isinstance(first, Start) else None
        instance = known if isinstance(known, str) else ""
    hourly = prices.table().hourly
    gpus = [(price, name) for name, price in hourly.items() if has_gpu(name)]
    price, gpu = min(gpus, default=(None, ""))
    return Cost(
        source=prices.label(),
        instance_type=instance,
        machines=machines,
        hourly=hourly.get(instance),
        billed=found.about.get("BillableTimeInSeconds"),
        gpu_machine=gpu,
        gpu_hourly=price,
    )


def _name(what: str) -> str:
    return what.rstrip("/").rpartition("/")[2].removesuffix(".tar.gz") or "job"


def _show(facts: Any) -> None:
    """Print the headline, where the time went, which rules triggered, and what to do."""
    from debugger.report import wording

    terminal.result(facts.headline)
    if facts.cost and facts.cost.total is not None:
        cost = wording.dollars(facts.cost.total)
        terminal.result(f"It cost {cost} ({facts.cost.source}).")
    terminal.result("")
    if facts.against:
        _show_changes(facts.against)
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


def _show_changes(against: Any) -> None:
    """Print what changed since another job, without what stayed the same."""
    from debugger.report.sections import comparison

    rows = [
        [one.name, comparison.figure(one.before, one.unit), comparison.figure(one.now, one.unit),
         comparison.change(one)[0]]
        for one in against.figures
        if comparison.change(one)[0] != "same"
    ]  # fmt: skip
    terminal.table([f"against {against.against}", "before", "now", "change"], rows,
                   if_empty="no figure changed")  # fmt: skip
    for one in against.settings:
        terminal.result(f"{one.name}: {one.before} before, {one.now} now")
    terminal.result("")
