"""`kennel costs`: what an experiment has cost so far, by job and by endpoint."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from scripts.aws import hosted, prices
from scripts.aws.client import Aws
from scripts.console import terminal
from scripts.requests import endpoints, jobs
from scripts.verbs import options


def costs(
    experiment: Annotated[str, typer.Argument(help="the experiment's name, as in its TOML file")],
    region: options.Region = None,
    as_json: options.AsJson = False,
    dry_run: options.DryRun = False,
) -> None:
    """Print what an experiment has cost so far.

    Counts its training jobs and trials, and the endpoints that run now.
    """
    if dry_run:
        listed = jobs.list_jobs(jobs.TRAINING, experiment, None)
        terminal.dry_run([listed, endpoints.list_endpoints(experiment)])
        return
    aws = Aws(region)
    found = [*_jobs(aws, experiment), *_endpoints(aws, experiment)]
    if as_json:
        terminal.as_json(found)
        return
    rows = [
        [
            one["name"],
            one["kind"],
            one["machines"],
            f"{one['hours']:.2f} h",
            "unknown" if one["dollars"] is None else f"${one['dollars']:,.2f}",
        ]
        for one in found
    ]
    columns = ["name", "kind", "runs on", "billed", "cost"]
    terminal.table(columns, rows, if_empty=f"nothing of {experiment} has cost anything")
    if not found:
        return
    total = sum(one["dollars"] or 0 for one in found)
    terminal.result(f"in all: ${total:,.2f}")
    terminal.note(
        f"{prices.label()}; without deleted endpoints, transform jobs, storage and images"
    )


def _jobs(aws: Aws, experiment: str) -> Iterator[dict[str, Any]]:
    """Its training jobs and trials with their billed time."""
    listing = jobs.list_jobs(jobs.TRAINING, experiment, None)
    for one in aws.pages(listing, "TrainingJobSummaries"):
        name = one["TrainingJobName"]
        if not name.startswith(f"{experiment}-"):
            continue
        about = aws.send(jobs.describe(jobs.TRAINING, name))
        billed = about.get("BillableTimeInSeconds")
        if billed is None:
            continue
        resources = about["ResourceConfig"]
        kind = resources.get("InstanceType", prices.SEVERAL_TYPES)
        count = resources.get("InstanceCount", 1)
        yield {
            "name": name,
            "kind": "trial" if about.get("TuningJobArn") else "training",
            "machines": f"{count} x {kind}",
            "hours": billed * count / 3600,
            "dollars": prices.of_training(about),
        }


def _endpoints(aws: Aws, experiment: str) -> Iterator[dict[str, Any]]:
    """Its endpoints that run now, since they were created."""
    now = datetime.now(UTC)
    for one in aws.pages(endpoints.list_endpoints(experiment), "Endpoints"):
        name = one["EndpointName"]
        if name != experiment and not name.startswith(f"{experiment}-"):
            continue
        machines, hourly = hosted.runs_on(aws, name)
        hours, dollars = hosted.hours_and_dollars(one["CreationTime"], hourly, now)
        yield {
            "name": name,
            "kind": "endpoint",
            "machines": machines,
            "hours": hours,
            "dollars": dollars,
        }
