"""The page Endpoints: state, instances, price an hour and so far, time left, requests, Down."""

from datetime import UTC, datetime
from typing import Any

from nicegui import ui

from scripts.aws import deployment, hosted, prices
from scripts.aws.client import AwsProblem
from scripts.requests import endpoints as requests
from scripts.ui import context, frame, tables, words

_COLUMNS = (
    "endpoint",
    "state",
    "experiment",
    "runs on",
    "per hour",
    "so far",
    "age",
    "time left",
    "requests",
    "",
)


@frame.page("/endpoints", "Endpoints")
async def endpoints() -> None:
    """Draw the list of endpoints; each has a button that deletes it."""
    problem = frame.Problems()
    deleting: set[str] = set()

    async def down(name: str) -> None:
        if name in deleting or not await frame.confirm(
            f"Delete the endpoint {name}, its config and its models?", "Delete the endpoint"
        ):
            return
        deleting.add(name)
        found = await frame.quietly(_delete, name)
        deleting.discard(name)
        problem.show("" if found is True else str(found))
        await refresh()

    table = tables.show(
        "Endpoints",
        _COLUMNS,
        numeric=("per hour", "so far", "age", "time left", "requests"),
        if_empty="no endpoints: no cost",
        on_act=down,
    )
    ui.label(f"Prices: {prices.label()}.").classes("quiet")

    async def refresh() -> None:
        found = await frame.quietly(_look)
        if isinstance(found, str):
            problem.show(found)
            return
        table.update([_row(one, deleting) for one in found])

    await refresh()
    ui.timer(context.current().poll_s * 2, refresh, immediate=False)


def _look() -> list[dict[str, Any]]:
    """The endpoints with their number of requests."""
    aws = context.current().aws
    found = []
    for one in aws.pages(requests.list_endpoints(None), "Endpoints"):
        try:
            about = hosted.about(aws, one)
        except AwsProblem as problem:
            if problem.missing:  # deleted since it was listed
                continue
            raise
        about["requests"] = hosted.invocations(aws, one["EndpointName"], one["CreationTime"])
        found.append(about)
    return found


def _delete(name: str) -> bool:
    deployment.delete(context.current().aws, name)
    return True


def _row(one: dict[str, Any], deleting: set[str]) -> tables.Row:
    now = datetime.now(UTC)
    hourly = one["dollars_per_hour"]
    hours, spent = hosted.hours_and_dollars(one["created"], hourly, now)
    unknown = "by use" if one["machines"] == hosted.SERVERLESS else "unknown"
    expires = one["expires"]
    left = (expires - now).total_seconds() if expires else None
    name = one["endpoint"]
    is_leaving = name in deleting
    count = one["requests"]
    return tables.Row(
        key=name,
        cells=(
            tables.Cell(name),
            words.state("Deleting" if is_leaving else one["status"]),
            tables.Cell(one["experiment"]),
            tables.Cell(one["machines"]),
            words.dollars(hourly, unknown),
            words.dollars(spent, unknown),
            words.duration(hours * 3600),
            tables.Cell("no end", value="")
            if left is None
            else (words.duration(left) if left > 0 else tables.Cell("overdue", 0, tone="bad")),
            tables.Cell("unknown" if count is None else f"{count:,.0f}", count),
            tables.Cell("" if is_leaving else "Down", action=True),
        ),
    )
