"""What a job or an endpoint will cost at most, and did cost, by the dated table in prices.toml."""

import tomllib
from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

from scripts.spec import Experiment
from scripts.spec.endpoint import Serverless, Transform

TABLE = Path(__file__).with_name("prices.toml")


@dataclass(frozen=True)
class Prices:
    """US dollars an hour by instance type, for one region on one day."""

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


def written(prices: Prices) -> str:
    """prices.toml with these prices, as the Pricing API has them."""
    lines = [
        "# On-demand US dollars an hour of SageMaker instances: an estimate, not a bill.",
        "# Other regions differ by up to some 40 %. Of training and hosting the dearer counts.",
        "# Source: AWS's Pricing API on the day below (`kennel prices --refresh`).",
        f'region = "{prices.region}"',
        f"collected = {prices.collected.isoformat()}",
        "",
        "[hourly]",
        *(f'"{name}" = {price:g}' for name, price in prices.hourly.items()),
    ]
    return "\n".join(lines) + "\n"


def label() -> str:
    """What every figure made from the table has to carry."""
    return f"estimate: {table().region} on-demand prices collected {table().collected}"


def cost(instance_type: str, instances: int, seconds: float) -> float | None:
    """US dollars; None for an instance type that the table does not have."""
    hourly = table().hourly.get(instance_type)
    return None if hourly is None else hourly * instances * seconds / 3600


def before_training(experiment: Experiment, jobs: int) -> str:
    """One line: how many jobs, and what they cost if each runs to its limit."""
    training = experiment.training
    hours = training.max_run_seconds / 3600
    machines = f"{training.instance_count} x {training.instance_type}"
    many = f"{jobs} training job{'s' * (jobs > 1)}, {machines}, at most {hours:g} h each"
    worst = cost(training.instance_type, training.instance_count * jobs, training.max_run_seconds)
    if worst is None:
        return f"{many}; no price known for {training.instance_type}"
    less = "; spot is usually much less" if training.spot else ""
    return f"{many}: at most ${worst:,.2f} ({label()}{less})"


def before_hosting(experiment: Experiment) -> str:
    """One line: what the endpoint costs an hour."""
    endpoint = experiment.endpoint
    assert endpoint is not None
    if isinstance(endpoint, Serverless):
        return "serverless: by the millisecond of use; not in the price table"
    hourly = cost(endpoint.instance_type, endpoint.instance_count, 3600)
    machines = f"{endpoint.instance_count} x {endpoint.instance_type}"
    if hourly is None:
        return f"{machines}; no price known for {endpoint.instance_type}"
    until = "while the job runs" if isinstance(endpoint, Transform) else "until `kennel down`"
    return f"{machines}: ${hourly:,.2f} an hour {until} ({label()})"


def after_training(job: dict[str, Any]) -> str:
    """One line about a finished job, from DescribeTrainingJob: time, cost, what spot saved."""
    billed = job.get("BillableTimeInSeconds")
    if billed is None:
        return "billed: not known yet"
    resources = job["ResourceConfig"]
    instance, count = resources["InstanceType"], resources["InstanceCount"]
    dollars = cost(instance, count, billed)
    worth = "no price known" if dollars is None else f"${dollars:,.2f}, {label()}"
    line = f"billed: {billed} s of {count} x {instance} ({worth})"
    ran = job.get("TrainingTimeInSeconds")
    if job.get("EnableManagedSpotTraining") and ran:
        line += f"; spot saved {1 - billed / ran:.0%}"
    return line
