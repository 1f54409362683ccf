"""`kennel best`: what a tuning job found, and the table of everything it tried."""

import json
from typing import Annotated, Any

import typer

from scripts.aws import sweeps, trials
from scripts.aws.client import Aws, AwsProblem
from scripts.console import shown
from scripts.problem import Problem
from scripts.requests import running
from scripts.verbs import options
from train.metrics import OBJECTIVE


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
    if swept := _swept(aws, job):
        if as_json:
            shown.tell(json.dumps(_sweep_as_json(job, swept), indent=2))
        else:
            show_sweep(job, swept)
        return
    about = aws.send(running.tuning_job(job))
    tried = trials.fetch(aws, job)
    if as_json:
        shown.tell(json.dumps(_as_json(about, tried), indent=2))
        return
    show_best(about, tried)
    if "BestTrainingJob" not in about:
        raise Problem(f"{job} ({about['HyperParameterTuningJobStatus']}): no trial has a value yet")


def _swept(aws: Aws, job: str) -> list[dict[str, Any]]:
    """The trials of a training job that trained a whole grid; none where it is a tuning job."""
    try:
        about = aws.send(running.training_job(job))
    except AwsProblem as problem:
        if problem.missing:
            return []
        raise
    trials_ = sweeps.fetch(aws, job)
    if not trials_:
        raise Problem(f"{job} ({about['TrainingJobStatus']}): no trial of a sweep has ended in it")
    return trials_


def show_sweep(job: str, swept: list[dict[str, Any]]) -> None:
    """Print the table, then the best hyperparameters; the job's bundle is the best trial's."""
    sweeps.show(swept)
    shown.tell("")
    for name, value in sweeps.hyperparameters(swept[0]).items():
        shown.tell(f"{name} = {json.dumps(value)}")
    shown.say(f"its bundle is there already: kennel deploy SPEC --job {job}")


def _sweep_as_json(job: str, swept: list[dict[str, Any]]) -> dict[str, Any]:
    listed = [{"job": job, **one, "hyperparameters": sweeps.hyperparameters(one)} for one in swept]
    return {"training_job": job, "objective": OBJECTIVE.name, "best": listed[0], "trials": listed}


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
