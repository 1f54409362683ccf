"""Whether a job without a GPU was limited by its processor, and what a GPU machine would cost."""

import numpy as np

from debugger.records import FEATURES
from debugger.report import facts
from debugger.report.analysis.gathering import Gathered
from debugger.report.wording import dollars, measure, number, price

SATURATED = 80.0  # mean percent of all cores, from the first step to the last record


def busy(gathered: Gathered) -> float | None:
    """Return the mean use of all cores of the main host in the loop, in percent.

    None if the job has a GPU, or if no samples or no steps were recorded.
    """
    host, _ = gathered.main_process
    steps = gathered.of_main_process(gathered.steps)
    phases = [item for item in gathered.of_main_process(gathered.phases) if item.name == FEATURES]
    if not (steps or phases):
        return None
    begin = min([*(item.start for item in steps[:1]), *(item.start for item in phases[:1])])
    samples = [item.values for item in gathered.systems if item.host == host and item.at >= begin]
    if any(name.startswith("gpu/") for values in samples[:1] for name in values):
        return None
    cores = [values["cpu"] for values in samples if "cpu" in values]
    return float(np.mean(cores)) if cores else None


def advice(
    used: float | None, time: facts.Time, about: dict[str, object], cost: facts.Cost | None
) -> list[facts.Advice]:
    """Return the finding that the processor was the limit, in time and money, if it was."""
    if used is None or used < SATURATED:
        return []
    waited = sum(item.seconds for item in time.parts if item.name == "data_wait")
    cores = about.get("cores")
    several = isinstance(cores, int) and cores > 1
    which = f"All {cores} cores were" if several else "The processor was"
    finding = (
        f"{which} busy {measure(used, '%')} of the time, so the processor was the limit. The job "
        "had no GPU."
    )
    if cost and cost.hourly is not None:
        each = f"{cost.machines} x {cost.instance_type}, {price(cost.hourly)} an hour"
        total = cost.total
        finding += (
            f" It ran on {each}." if total is None else f" It cost {dollars(total)} ({each})."
        )
    return [
        facts.Advice(
            seconds=time.train + time.evaluation + waited,
            finding=finding,
            remedy=" ".join([*_machine(cost), *_less_work(about)]),
        )
    ]


def _machine(cost: facts.Cost | None) -> list[str]:
    if cost is None or cost.gpu_hourly is None:
        return ["Use a machine with a GPU; `kennel report JOB` says what it costs."]
    gpu = f"A machine with a GPU, {cost.gpu_machine}, costs {price(cost.gpu_hourly)} an hour"
    if cost.hourly is None:
        return [f"{gpu} ({cost.source})."]
    ratio = cost.gpu_hourly / cost.hourly
    if ratio <= 1:
        return [f"{gpu}: no more than {cost.instance_type} ({cost.source})."]
    return [
        f"{gpu}, {number(ratio, 2)} times as much as {cost.instance_type}: the job is cheaper "
        f"there if it becomes over {number(ratio, 2)} times faster ({cost.source})."
    ]


def _less_work(about: dict[str, object]) -> list[str]:
    """Return what makes the work smaller, without what the job does already."""
    given = about.get("hyperparameters")
    known = given if isinstance(given, dict) else {}
    frozen = known.get("trainable") == "head"
    return [
        *([] if frozen else ["trainable=head computes the features of each picture only once."]),
        "A smaller image_size or architecture computes less.",
    ]
