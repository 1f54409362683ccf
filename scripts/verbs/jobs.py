"""`kennel jobs`, `status`, `logs`, `stop`: training, tuning and transform jobs by their names."""

import itertools
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from scripts.aws import logs as cloudwatch
from scripts.aws import watch
from scripts.aws.client import Aws, AwsProblem
from scripts.console import shown
from scripts.problem import Problem
from scripts.requests import running
from scripts.requests.request import Request
from scripts.verbs import options

Name = Annotated[str, typer.Argument(help="the job's name")]


@dataclass(frozen=True)
class Kind:
    """A kind of job, as SageMaker's operations name it."""

    name: str
    describe: Callable[[str], Request]
    status: str


KINDS = (
    Kind("TrainingJob", running.training_job, "TrainingJobStatus"),
    Kind("HyperParameterTuningJob", running.tuning_job, "HyperParameterTuningJobStatus"),
    Kind("TransformJob", running.transform_job, "TransformJobStatus"),
)


def find(aws: Aws, name: str) -> tuple[Kind, dict[str, Any]]:
    """The kind of the job called `name`, and its description.

    Raises:
        Problem: there is none.
    """
    for kind in KINDS:
        try:
            return kind, aws.send(kind.describe(name))
        except AwsProblem as problem:
            if not problem.missing:
                raise
    raise Problem(f"no job is called {name} in {aws.region}: `kennel jobs` lists them")


def jobs(
    contains: Annotated[str | None, typer.Argument(help="part of the name")] = None,
    status: Annotated[str | None, typer.Option(help="such as InProgress or Failed")] = None,
    limit: Annotated[int, typer.Option(min=1, help="at most so many of each kind")] = 20,
    region: options.Region = None,
    dry_run: options.DryRun = False,
) -> None:
    """List tuning jobs and training jobs, newest first."""
    tuning, training = (
        running.tuning_jobs(contains, status),
        running.training_jobs(contains, status),
    )
    if dry_run:
        shown.dry([tuning, training])
        return
    aws = Aws(region)
    rows = []
    for request, kind, key in (
        (tuning, "HyperParameterTuningJob", "HyperParameterTuningJobSummaries"),
        (training, "TrainingJob", "TrainingJobSummaries"),
    ):
        for one in itertools.islice(aws.pages(request, key), limit):
            ended = one.get("TrainingEndTime") or one.get("HyperParameterTuningEndTime")
            took = f"{(ended - one['CreationTime']).total_seconds():.0f} s" if ended else ""
            what = "tuning" if kind == "HyperParameterTuningJob" else "training"
            began = shown.moment(one["CreationTime"])
            rows.append([one[f"{kind}Name"], what, one[f"{kind}Status"], began, took])
    shown.table(["job", "kind", "status", "created", "took"], rows, none="no such job")


def status(
    name: Name,
    region: options.Region = None,
    as_json: options.AsJson = False,
    dry_run: options.DryRun = False,
) -> None:
    """Tell how a job is doing: state, times, metrics, cost; for a failed one the reason."""
    if dry_run:
        shown.dry(kind.describe(name) for kind in KINDS)
        return
    kind, about = find(Aws(region), name)
    if as_json:
        about.pop("ResponseMetadata", None)
        shown.tell(json.dumps(about, indent=2, default=str))
        return
    shown.tell(f"{name}: {about[kind.status]}")
    if kind.name == "TrainingJob":
        for one in about.get("SecondaryStatusTransitions", []):
            clock = one["StartTime"].astimezone().strftime("%H:%M:%S")
            shown.tell(f"  {clock} {one['Status']}: {one.get('StatusMessage') or ''}")
        for metric in about.get("FinalMetricDataList", []):
            shown.tell(f"  {metric['MetricName']}: {shown.number(metric['Value'])}")
        watch.verdict(about)
    else:
        for key in ("TrainingJobStatusCounters", "ObjectiveStatusCounters"):
            counts = ", ".join(f"{count} {word}" for word, count in about.get(key, {}).items())
            shown.tell(f"  {counts}") if counts else None
        if about[kind.status] == "Failed":
            watch.failed(about.get("FailureReason", "no reason given"))


def logs(
    name: Name,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="stay until the job ends")] = False,
    endpoint: Annotated[bool, typer.Option("--endpoint", help="NAME is an endpoint")] = False,
    region: options.Region = None,
    dry_run: options.DryRun = False,
) -> None:
    """Print a job's log, all hosts together; with --follow its states too, until it ends."""
    group, prefix = cloudwatch.TRAINING, f"{name}/"
    if endpoint:
        group, prefix = f"{cloudwatch.ENDPOINTS}/{name}", ""
    if dry_run:
        shown.dry([running.log_streams(group, prefix)])
        return
    aws = Aws(region)
    if not endpoint:
        kind, _ = find(aws, name)
        if kind.name == "HyperParameterTuningJob":
            if not follow:
                raise Problem(f"{name} is a tuning job: give --follow, or the name of a trial")
            watch.tuning_job(aws, name)
            return
        if kind.name == "TransformJob":
            group = cloudwatch.TRANSFORM
        elif follow:
            ended = watch.training_job(aws, name)
            raise typer.Exit(ended["TrainingJobStatus"] == "Failed")
    count = 0
    for line in cloudwatch.Log(aws, group, prefix).new():
        count += 1
        shown.tell(f"{line.host} | {line.text}")
    if not count:
        shown.say(f"{name} has no log yet")


def stop(name: Name, region: options.Region = None, dry_run: options.DryRun = False) -> None:
    """Stop a job; a training job gets two minutes to leave a checkpoint and its best so far."""
    if dry_run:
        shown.say("one of these, by what kind of job it is:")
        shown.dry(running.stop(kind.name, name) for kind in KINDS)
        return
    aws = Aws(region)
    kind, about = find(aws, name)
    if about[kind.status] in ("Completed", "Failed", "Stopped"):
        shown.say(f"{name} has already ended: {about[kind.status]}")
        return
    aws.send(running.stop(kind.name, name))
    shown.say(f"{name} is stopping: kennel status {name}")
