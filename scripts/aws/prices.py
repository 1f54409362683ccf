"""The cost of jobs and endpoints, before and after, by the dated table in prices.toml."""

import tomllib
from dataclasses import dataclass
from datetime import date, datetime
from functools import cache
from pathlib import Path
from typing import Any

from scripts.spec import Experiment
from scripts.spec.endpoint import Serverless, Transform

TABLE = Path(__file__).with_name("prices.toml")
# What a job with instance groups runs on, in words.
SEVERAL_TYPES = "instances of several groups"


@dataclass(frozen=True)
class Prices:
    """US dollars per hour by instance type, for one region on one day."""

    region: str
    collected: date
    hourly: dict[str, float]


@cache
def table() -> Prices:
    """Read prices.toml."""
    return read(TABLE)


def read(file: Path) -> Prices:
    """Read a table of prices."""
    content: dict[str, Any] = tomllib.loads(file.read_text())
    return Prices(content["region"], content["collected"], content["hourly"])


def to_toml(prices: Prices) -> str:
    """Return the text of prices.toml for prices from the Pricing API."""
    lines = [
        "# On-demand US dollars per hour of SageMaker instances: an estimate, not a bill.",
        "# Other regions differ by up to about 40 %. The table has the higher of both prices.",
        "# Source: AWS's Pricing API on the day below (`kennel prices --refresh`).",
        f'region = "{prices.region}"',
        f"collected = {prices.collected.isoformat()}",
        "",
        "[hourly]",
        *(f'"{name}" = {price:g}' for name, price in prices.hourly.items()),
    ]
    return "\n".join(lines) + "\n"


def label() -> str:
    """The label on every figure from this table."""
    return f"estimate: {table().region} on-demand prices collected {table().collected}"


def cost(instance_type: str, instances: int, seconds: float) -> float | None:
    """US dollars; None for an instance type that is not in the table."""
    hourly = table().hourly.get(instance_type)
    return None if hourly is None else hourly * instances * seconds / 3600


def before_training(experiment: Experiment, jobs: int) -> str:
    """One line: the number of jobs, and their cost if each runs to its limit."""
    training = experiment.training
    hours = training.max_run_seconds / 3600
    machines = f"{training.instance_count} x {training.instance_type}"
    jobs_text = f"{jobs} training job{'s' * (jobs > 1)}, {machines}, at most {hours:g} h each"
    worst = cost(training.instance_type, training.instance_count * jobs, training.max_run_seconds)
    if worst is None:
        return f"{jobs_text}; no known price for {training.instance_type}"
    spot = "; spot usually costs much less" if training.spot else ""
    return f"{jobs_text}: at most ${worst:,.2f} ({label()}{spot})"


def before_hosting(experiment: Experiment) -> str:
    """One line: what the endpoint costs per hour."""
    endpoint = experiment.endpoint
    assert endpoint is not None
    if isinstance(endpoint, Serverless):
        return "serverless: billed per millisecond of use; not in the price table"
    hourly = cost(endpoint.instance_type, endpoint.instance_count, 3600)
    machines = f"{endpoint.instance_count} x {endpoint.instance_type}"
    if hourly is None:
        return f"{machines}; no known price for {endpoint.instance_type}"
    until = "while the job runs" if isinstance(endpoint, Transform) else "until `kennel down`"
    return f"{machines}: ${hourly:,.2f} per hour {until} ({label()})"


def of_training(job: dict[str, Any], now: datetime | None = None) -> float | None:
    """US dollars of a training job, from DescribeTrainingJob: billed, or so far while it runs.

    None if nothing is known: it has not started, or its instance type is not in the table.
    """
    seconds = job.get("BillableTimeInSeconds")
    if seconds is None and now and job["TrainingJobStatus"] == "InProgress":
        started = job.get("TrainingStartTime")
        seconds = (now - started).total_seconds() if started else None
    if seconds is None:
        return None
    resources = job["ResourceConfig"]
    # A job with instance groups has no single type.
    return cost(resources.get("InstanceType", ""), resources.get("InstanceCount", 1), seconds)


def after_training(job: dict[str, Any]) -> str:
    """One line about a finished job, from DescribeTrainingJob: time, cost and savings of spot."""
    billed = job.get("BillableTimeInSeconds")
    if billed is None:
        return "billed: not known yet"
    resources = job["ResourceConfig"]
    instance = resources.get("InstanceType", SEVERAL_TYPES)
    count = resources.get("InstanceCount", 1)
    dollars = of_training(job)
    worth = "no known price" if dollars is None else f"${dollars:,.2f}, {label()}"
    line = f"billed: {billed} s of {count} x {instance} ({worth})"
    ran = job.get("TrainingTimeInSeconds")
    if job.get("EnableManagedSpotTraining") and ran:
        line += f"; spot saved {1 - billed / ran:.0%}"
    return line
