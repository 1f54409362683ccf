"""The endpoints of an account: their instances, what they cost, and when they end."""

from datetime import UTC, datetime
from typing import Any

from scripts.aws import prices
from scripts.aws.client import Aws, AwsProblem
from scripts.console import terminal
from scripts.requests import endpoints, hosting
from scripts.requests.training import TAG

SERVERLESS = "serverless"


def about(aws: Aws, one: dict[str, Any]) -> dict[str, Any]:
    """Return an endpoint of ListEndpoints with its tags, its machines and its cost so far."""
    try:
        tags = own_tags(aws, one["EndpointArn"])
    except AwsProblem as problem:  # the caller may lack this permission
        terminal.note(f"tags unknown: {problem}")
        tags = {}
    machines, hourly = runs_on(aws, one["EndpointName"])
    return {
        "endpoint": one["EndpointName"],
        "status": one["EndpointStatus"],
        "experiment": tags.get(TAG, ""),
        "machines": machines,
        "dollars_per_hour": hourly,
        "created": one["CreationTime"],
        "expires": expiry(tags),
    }


def hours_and_dollars(
    created: datetime, hourly: float | None, now: datetime | None = None
) -> tuple[float, float | None]:
    """Return an endpoint's hours so far and their cost with the instances that it has now."""
    hours = ((now or datetime.now(UTC)) - created).total_seconds() / 3600
    return hours, None if hourly is None else hourly * hours


def invocations(aws: Aws, endpoint: str, since: datetime) -> float | None:
    """How many requests CloudWatch counted since a time; None if the caller may not ask."""
    try:
        answer = aws.send(endpoints.invocations(endpoint, since, datetime.now(UTC)))
    except AwsProblem as problem:
        if problem.forbidden:
            return None
        raise
    return float(sum(one["Sum"] for one in answer["Datapoints"]))


def own_tags(aws: Aws, arn: str) -> dict[str, str]:
    """The tags of a resource."""
    return {one["Key"]: one["Value"] for one in aws.pages(endpoints.tags(arn), "Tags")}


def expiry(tags: dict[str, str]) -> datetime | None:
    """When an endpoint with these tags ends; None if it has no ttl_hours."""
    until = tags.get(hosting.EXPIRES)
    return datetime.fromisoformat(until) if until else None


def runs_on(aws: Aws, endpoint: str) -> tuple[str, float | None]:
    """Return the instances of an endpoint now, and US dollars per hour; None if not known."""
    described = aws.send(endpoints.describe(endpoint))
    config = aws.send(endpoints.describe_config(described["EndpointConfigName"]))
    counts = {one["VariantName"]: one for one in described.get("ProductionVariants", [])}
    machines, total = [], 0.0
    known = True
    for variant in config["ProductionVariants"]:
        if "ServerlessConfig" in variant:
            return SERVERLESS, None
        current = counts.get(variant["VariantName"], {}).get("CurrentInstanceCount")
        count = variant["InitialInstanceCount"] if current is None else current
        machines.append(f"{count} x {variant['InstanceType']}")
        hourly = prices.cost(variant["InstanceType"], count, 3600)
        known = known and hourly is not None
        total += hourly or 0
    return ", ".join(machines), total if known else None
