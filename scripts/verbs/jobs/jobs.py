"""`kennel jobs`, `status`, `logs`, `stop`: training, tuning and transform jobs by name."""

import itertools
from typing import Annotated

import typer

from scripts.aws import listing, watch
from scripts.aws import logs as cloudwatch
from scripts.aws.client import Aws
from scripts.aws.listing import find
from scripts.console import terminal
from scripts.problem import Problem
from scripts.requests import jobs as requests
from scripts.requests.endpoints import describe as describe_endpoint
from scripts.requests.secrets import masked
from scripts.verbs import options


def jobs(
    contains: options.Contains = None,
    status: Annotated[str | None, typer.Option(help="such as InProgress or Failed")] = None,
    limit: Annotated[int, typer.Option(min=1, help="the most jobs")] = 20,
    region: options.Region = None,
    as_json: options.AsJson = False,
    dry_run: options.DryRun = False,
) -> None:
    """List tuning, training and transform jobs, newest first."""
    if dry_run:
        terminal.dry_run(requests.list_jobs(kind, contains, status) for kind in requests.KINDS)
        return
    aws = Aws(region)
    newest = list(itertools.islice(listing.newest(aws, contains, status), limit))
    if as_json:
        terminal.as_json(newest)
        return
    rows = [
        [
            one["job"],
            one["kind"],
            one["status"],
            terminal.local_time(one["created"]),
            "" if one["seconds"] is None else f"{one['seconds']:.0f} s",
        ]
        for one in newest
    ]
    if_empty = "no such job" if contains or status else "no jobs yet"
    terminal.table(["job", "kind", "status", "created", "took"], rows, if_empty=if_empty)


def status(
    name: options.Job,
    region: options.Region = None,
    as_json: options.AsJson = False,
    dry_run: options.DryRun = False,
) -> None:
    """Print a job's states, metrics and cost.

    If it failed, also print the reason and what to do.
    """
    if dry_run:
        terminal.dry_run(requests.describe(kind, name) for kind in requests.KINDS)
        return
    kind, about = find(Aws(region), name)
    if as_json:
        about.pop("ResponseMetadata", None)
        terminal.as_json(masked(about))
        return
    state = about[f"{kind}Status"]
    terminal.result(f"{name}: {state}")
    if kind == requests.TRAINING:
        for one in about.get("SecondaryStatusTransitions", []):
            clock = one["StartTime"].astimezone().strftime("%H:%M:%S")
            terminal.result(f"  {clock} {one['Status']}: {one.get('StatusMessage') or ''}")
        for metric in about.get("FinalMetricDataList", []):
            terminal.result(f"  {metric['MetricName']}: {terminal.number(metric['Value'])}")
        watch.report_end(about)
        return
    for key in ("TrainingJobStatusCounters", "ObjectiveStatusCounters"):
        if counts := about.get(key):
            terminal.result("  " + ", ".join(f"{count} {word}" for word, count in counts.items()))
    if state == "Failed":
        watch.report_failure(about.get("FailureReason", "no reason given"))


def logs(
    name: options.Job,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="print new lines until the job ends")
    ] = False,
    endpoint: Annotated[bool, typer.Option("--endpoint", help="the name is an endpoint's")] = False,
    region: options.Region = None,
    dry_run: options.DryRun = False,
) -> None:
    """Print the log of a job, all hosts together.

    With --follow, also print the job's states.
    """
    group, prefix = cloudwatch.TRAINING, f"{name}/"
    if endpoint:
        group, prefix = f"{cloudwatch.ENDPOINTS}/{name}", ""
    if dry_run:
        terminal.dry_run([requests.log_streams(group, prefix)])
        return
    aws = Aws(region)
    if endpoint:
        aws.send(describe_endpoint(name))  # no such endpoint: the log would be empty
    else:
        kind, _ = find(aws, name)
        if kind == requests.TUNING:
            if not follow:
                raise Problem(f"{name} is a tuning job: add --follow, or give a trial's name")
            watch.tuning_job(aws, name)
            return
        if kind == requests.TRANSFORM:
            group = cloudwatch.TRANSFORM
        elif follow:
            ended = watch.training_job(aws, name)
            raise typer.Exit(ended["TrainingJobStatus"] == "Failed")
    count = 0
    for line in cloudwatch.Log(aws, group, prefix).new_lines():
        count += 1
        terminal.result(f"{line.host} | {line.text}")
    if not count:
        terminal.note(f"{name} has no log yet")


def stop(name: options.Job, region: options.Region = None, dry_run: options.DryRun = False) -> None:
    """Stop a job.

    A training job has two minutes to save its best model and a checkpoint.
    """
    if dry_run:
        terminal.note("one of these requests, depending on the kind of job:")
        terminal.dry_run(requests.stop(kind, name) for kind in requests.KINDS)
        return
    aws = Aws(region)
    kind, about = find(aws, name)
    state = about[f"{kind}Status"]
    if state in requests.ENDED:
        terminal.note(f"{name} has already ended: {state}")
        return
    aws.send(requests.stop(kind, name))
    terminal.note(f"{name} is stopping: kennel status {name}")
