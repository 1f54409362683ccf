"""`kennel endpoints` and `kennel down`: list endpoints with their cost, and delete them."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from scripts.aws import deployment, hosted, prices
from scripts.aws.client import Aws, AwsProblem
from scripts.console import terminal
from scripts.problem import Problem
from scripts.requests import endpoints as requests
from scripts.requests.training import TAG
from scripts.verbs import options


def endpoints(
    contains: options.Contains = None,
    region: options.Region = None,
    as_json: options.AsJson = False,
    dry_run: options.DryRun = False,
) -> None:
    """List endpoints with their cost per hour.

    An endpoint is overdue if it is older than ttl_hours.
    """
    if dry_run:
        terminal.dry_run([requests.list_endpoints(contains)])
        return
    aws = Aws(region)
    now = datetime.now(UTC)
    found = [
        hosted.about(aws, one) for one in aws.pages(requests.list_endpoints(contains), "Endpoints")
    ]
    if as_json:
        terminal.as_json(found)
        return
    columns = ["endpoint", "status", "experiment", "runs on", "per hour", "age", "ends"]
    rows = [
        [
            one["endpoint"],
            one["status"],
            one["experiment"],
            one["machines"],
            _dollars(one["dollars_per_hour"], one["machines"]),
            _hours(now - one["created"]),
            _end(one["expires"], now),
        ]
        for one in found
    ]
    terminal.table(columns, rows, if_empty="no endpoints: no cost")
    if rows:
        terminal.note(prices.label())


def _dollars(hourly: float | None, machines: str) -> str:
    if hourly is None:
        return "by use" if machines == hosted.SERVERLESS else "unknown"
    return f"${hourly:,.2f}"


def _hours(period: timedelta) -> str:
    return f"{period.total_seconds() / 3600:.1f} h"


def _end(expires: datetime | None, now: datetime) -> str:
    if expires is None:
        return ""
    return f"in {_hours(expires - now)}" if expires > now else "overdue: kennel down"


def down(
    names_: Annotated[
        list[str] | None, typer.Argument(metavar="ENDPOINT", help="their names")
    ] = None,
    all_: Annotated[bool, typer.Option("--all", help="all endpoints that Kennel created")] = False,
    older_than: Annotated[
        str | None,
        typer.Option(metavar="AGE", help="with --all: the older ones (90m, 8h, 2d)"),
    ] = None,
    expired: Annotated[
        bool, typer.Option("--expired", help="with --all: the overdue ones")
    ] = False,
    yes: options.Yes = False,
    region: options.Region = None,
    dry_run: options.DryRun = False,
) -> None:
    """Delete endpoints, their configs and their models."""
    if all_ == bool(names_):
        raise Problem("give the names of endpoints, or --all")
    if (older_than or expired) and not all_:
        raise Problem("--older-than and --expired need --all")
    age = _age(older_than) if older_than else timedelta(0)
    if dry_run:
        if all_:
            terminal.dry_run([requests.list_endpoints(None)])
            return
        steps = requests.describe, requests.deregister_scaling, requests.delete
        terminal.dry_run(step(name) for name in names_ or [] for step in steps)
        terminal.note("then DeleteEndpointConfig and DeleteModel for the names in DescribeEndpoint")
        return
    aws = Aws(region)
    chosen = list(_own(aws, age, expired=expired)) if all_ else names_ or []
    if not chosen:
        terminal.note("no such endpoint")
        return
    if all_ and not yes:
        typer.confirm(f"delete {', '.join(chosen)}?", abort=True, err=True)
    missing = []
    for name in dict.fromkeys(chosen):
        try:
            deployment.delete(aws, name)
        except AwsProblem as problem:
            if not problem.missing:
                raise
            missing.append(problem)  # the others must not go on to cost
    if missing:
        raise Problem("\n".join(map(str, missing))) from missing[0]


def _own(aws: Aws, age: timedelta, *, expired: bool) -> Iterator[str]:
    """Endpoints that have Kennel's tag and are old enough."""
    now = datetime.now(UTC)
    for one in aws.pages(requests.list_endpoints(None), "Endpoints"):
        tags = hosted.own_tags(aws, one["EndpointArn"])
        old_enough = now - one["CreationTime"] >= age
        if TAG in tags and old_enough and (not expired or _expired(tags, now)):
            yield one["EndpointName"]


def _expired(tags: dict[str, str], now: datetime) -> bool:
    until = hosted.expiry(tags)
    return until is not None and until < now


def _age(text: str) -> timedelta:
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([mhd])", text)
    if not found:
        raise Problem(f"--older-than {text}: write it as 90m, 8h or 2d")
    unit = {"m": "minutes", "h": "hours", "d": "days"}[found[2]]
    return timedelta(**{unit: float(found[1])})
