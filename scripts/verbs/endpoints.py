"""`kennel endpoints` and `kennel down`: what answers and costs, and taking it away."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from scripts.aws import deployment, prices
from scripts.aws.client import Aws, AwsProblem
from scripts.console import shown
from scripts.problem import Problem
from scripts.requests import endpoints as requests
from scripts.requests import hosting
from scripts.requests.training import TAG
from scripts.verbs import options


def endpoints(
    contains: Annotated[str | None, typer.Argument(help="part of the name")] = None,
    region: options.Region = None,
    dry_run: options.DryRun = False,
) -> None:
    """List endpoints with what each costs an hour, and which are overdue."""
    if dry_run:
        shown.dry([requests.listed(contains)])
        return
    aws = Aws(region)
    now = datetime.now(UTC)
    rows = []
    for one in aws.pages(requests.listed(contains), "Endpoints"):
        try:
            tags = _tags(aws, one["EndpointArn"])
        except AwsProblem as problem:  # a right that a reader may lack: the rest is worth showing
            shown.say(f"tags unknown: {problem}")
            tags = {}
        age = (now - one["CreationTime"]).total_seconds() / 3600
        machines, hourly = _machines(aws, one["EndpointName"])
        overdue = "overdue: kennel down" if _expired(tags, now) else tags.get(hosting.EXPIRES, "")
        name, status = one["EndpointName"], one["EndpointStatus"]
        rows.append([name, status, tags.get(TAG, ""), machines, hourly, f"{age:.1f} h", overdue])
    columns = ["endpoint", "status", "experiment", "runs on", "an hour", "age", "until"]
    shown.table(columns, rows, none="no endpoint: nothing costs here")
    if rows:
        shown.say(prices.label())


def down(
    names_: Annotated[list[str] | None, typer.Argument(metavar="[ENDPOINT]...")] = None,
    all_: Annotated[bool, typer.Option("--all", help="every endpoint that Kennel made")] = False,
    older_than: Annotated[
        str | None, typer.Option(metavar="AGE", help="with --all: such as 90m, 8h or 2d")
    ] = None,
    expired: Annotated[bool, typer.Option("--expired", help="with --all: past ttl_hours")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="do not ask")] = False,
    region: options.Region = None,
    dry_run: options.DryRun = False,
) -> None:
    """Delete endpoints with their configs and models, in that order."""
    if all_ == bool(names_):
        raise Problem("name endpoints, or give --all")
    if (older_than or expired) and not all_:
        raise Problem("--older-than and --expired choose among --all")
    age = _age(older_than) if older_than else timedelta(0)
    if dry_run:
        if all_:
            shown.dry([requests.listed(None)])
            return
        shown.dry(
            call
            for name in names_ or []
            for call in (requests.described(name), requests.unscaled(name), requests.deleted(name))
        )
        shown.say("then DeleteEndpointConfig and DeleteModel of what DescribeEndpoint names")
        return
    aws = Aws(region)
    chosen = list(_own(aws, age, expired=expired)) if all_ else names_ or []
    if not chosen:
        shown.say("no such endpoint")
        return
    if all_ and not yes:
        typer.confirm(f"delete {', '.join(chosen)}?", abort=True, err=True)
    for name in chosen:
        deployment.take_down(aws, name)


def _own(aws: Aws, age: timedelta, *, expired: bool) -> Iterator[str]:
    """Endpoints that carry Kennel's tag and are old enough."""
    now = datetime.now(UTC)
    for one in aws.pages(requests.listed(None), "Endpoints"):
        tags = _tags(aws, one["EndpointArn"])
        old_enough = now - one["CreationTime"] >= age
        if TAG in tags and old_enough and (not expired or _expired(tags, now)):
            yield one["EndpointName"]


def _tags(aws: Aws, arn: str) -> dict[str, str]:
    return {one["Key"]: one["Value"] for one in aws.pages(requests.tags(arn), "Tags")}


def _expired(tags: dict[str, str], now: datetime) -> bool:
    until = tags.get(hosting.EXPIRES)
    return until is not None and datetime.fromisoformat(until) < now


def _machines(aws: Aws, endpoint: str) -> tuple[str, str]:
    """What an endpoint runs on now, and its price an hour."""
    about = aws.send(requests.described(endpoint))
    config = aws.send(requests.described_config(about["EndpointConfigName"]))
    counts = {one["VariantName"]: one for one in about.get("ProductionVariants", [])}
    machines, total = [], 0.0
    known = True
    for variant in config["ProductionVariants"]:
        if "ServerlessConfig" in variant:
            return "serverless", "by use"
        current = counts.get(variant["VariantName"], {}).get("CurrentInstanceCount")
        count = variant["InitialInstanceCount"] if current is None else current
        machines.append(f"{count} x {variant['InstanceType']}")
        hourly = prices.cost(variant["InstanceType"], count, 3600)
        known = known and hourly is not None
        total += hourly or 0
    return ", ".join(machines), f"${total:,.2f}" if known else "unknown"


def _age(text: str) -> timedelta:
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([mhd])", text)
    if not found:
        raise Problem(f"--older-than {text}: write it as 90m, 8h or 2d")
    unit = {"m": "minutes", "h": "hours", "d": "days"}[found[2]]
    return timedelta(**{unit: float(found[1])})
