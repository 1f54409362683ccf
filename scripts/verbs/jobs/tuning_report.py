"""The report of a tuning job: its trials, and the metric over each hyperparameter."""

from pathlib import Path
from typing import Any

from scripts.aws import prices, trials
from scripts.aws.client import Aws
from scripts.console import terminal
from train.metrics import OBJECTIVE


def write(aws: Aws, about: dict[str, Any], target: Path) -> Any:
    """Write the page of a tuning job; return its facts (debugger.report.facts.Tuning)."""
    from debugger import report as reporting

    facts = collect(aws, about)
    target.parent.mkdir(parents=True, exist_ok=True)
    reporting.write_tuning(facts, target)
    return facts


def collect(aws: Aws, about: dict[str, Any]) -> Any:
    """Return the facts of a tuning job, from DescribeHyperParameterTuningJob and its trials."""
    from debugger.report import facts

    name = about["HyperParameterTuningJobName"]
    config = about["HyperParameterTuningJobConfig"]
    objective = config.get("HyperParameterTuningJobObjective") or {}
    minimize = objective.get("Type") == "Minimize"
    ranked = trials.ranked(trials.fetch(aws, name), minimize=minimize)
    best = (about.get("BestTrainingJob") or {}).get("TrainingJobName")
    found = facts.Trials(
        objective=objective.get("MetricName", OBJECTIVE.name),
        minimize=minimize,
        best=best,
        trials=[
            facts.Trial(
                name=one.job,
                status=one.status,
                hyperparameters=one.hyperparameters,
                value=one.value,
                seconds=one.seconds,
            )
            for one in ranked
        ],
    )
    status = about["HyperParameterTuningJobStatus"]
    return facts.Tuning(
        headline=_headline(found, status),
        name=name,
        status=status,
        cost=_cost(about, ranked),
        source=prices.label(),
        trials=found,
    )


def show(facts: Any, tuning_job: str) -> None:
    """Print the headline, and the command for the report of the best trial."""
    terminal.result(facts.headline)
    if facts.cost is not None:
        terminal.result(f"All trials cost ${facts.cost:,.2f} ({facts.source}).")
    if facts.trials.best:
        terminal.note(f"the best trial of {tuning_job}: {facts.trials.best}")
        terminal.note(f"its own report: kennel report {facts.trials.best}")


def _headline(found: Any, status: str) -> str:
    done = [one for one in found.trials if one.value is not None]
    text = f"{len(done)} of {len(found.trials)} trials have a result; the tuning job is {status}."
    best = next((one for one in done if one.name == found.best), None)
    if best is None:
        return text
    tried = ", ".join(f"{name} {value}" for name, value in best.hyperparameters.items())
    return f"{text} The best {found.objective} is {best.value:.4f}, with {tried}."


def _cost(about: dict[str, Any], tried: list[trials.Trial]) -> float | None:
    """US dollars of the trials that have ended; None if the price is not known."""
    definition = about.get("TrainingJobDefinition") or {}
    resources = definition.get("ResourceConfig") or definition.get(
        "HyperParameterTuningResourceConfig"
    )
    ended = [one.seconds for one in tried if one.seconds is not None]
    if not resources or "InstanceType" not in resources or not ended:
        return None
    return prices.cost(resources["InstanceType"], resources.get("InstanceCount", 1), sum(ended))
