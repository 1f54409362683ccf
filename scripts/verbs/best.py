"""`kennel best`: what a tuning job found, and the table of everything it tried."""

import json
from typing import Annotated, Any

import typer

from scripts import shown, trials
from scripts.aws import Aws
from scripts.problem import Problem
from scripts.requests import running
from scripts.verbs import options


def best(
    job: Annotated[str, typer.Argument(help="the tuning job's name")],
    region: options.Region = None,
    as_json: options.AsJson = False,
    dry_run: options.DryRun = False,
) -> None:
    """Print a tuning job's best hyperparameters, and all of its trials, best first."""
    if dry_run:
        shown.dry([running.tuning_job(job), running.trials(job)])
        return
    aws = Aws(region)
    about = aws.send(running.tuning_job(job))
    tried = trials.fetch(aws, job)
    if as_json:
        shown.tell(json.dumps(_as_json(about, tried), indent=2))
        return
    show_best(about, tried)
    if "BestTrainingJob" not in about:
        raise Problem(f"{job} ({about['HyperParameterTuningJobStatus']}): no trial has a value yet")


def show_best(about: dict[str, Any], tried: list[trials.Trial]) -> None:
    """Print the table, then the best hyperparameters as lines for `[hyperparameters]`."""
    objective = _objective(about)
    trials.show(tried, objective["MetricName"], minimize=objective["Type"] == "Minimize")
    if winner := about.get("BestTrainingJob"):
        found = trials.typed(trials.plain(winner["TunedHyperParameters"]))
        shown.tell("")
        for name, value in found.items():
            shown.tell(f"{name} = {json.dumps(value)}")
        job = about["HyperParameterTuningJobName"]
        shown.say(f"train with them: kennel train SPEC --from-tuning {job}")


def _objective(about: dict[str, Any]) -> dict[str, str]:
    objective: dict[str, str] = about["HyperParameterTuningJobConfig"][
        "HyperParameterTuningJobObjective"
    ]
    return objective


def _as_json(about: dict[str, Any], tried: list[trials.Trial]) -> dict[str, Any]:
    objective = _objective(about)
    winner = about.get("BestTrainingJob")
    return {
        "tuning_job": about["HyperParameterTuningJobName"],
        "status": about["HyperParameterTuningJobStatus"],
        "objective": objective["MetricName"],
        "best": {
            "job": winner["TrainingJobName"],
            "hyperparameters": trials.typed(trials.plain(winner["TunedHyperParameters"])),
        }
        if winner
        else None,
        "trials": [
            {
                "job": one.job,
                "status": one.status,
                "value": one.value,
                "hyperparameters": trials.typed(one.hyperparameters),
            }
            for one in trials.ranked(tried, minimize=objective["Type"] == "Minimize")
        ],
    }
