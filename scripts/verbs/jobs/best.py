"""`kennel best`: the best hyperparameters of a tuning job or a sweep, and all of its trials."""

import json
from typing import Any

from scripts.aws import sweeps, trials
from scripts.aws.client import Aws, AwsProblem
from scripts.console import terminal
from scripts.problem import Problem
from scripts.requests import jobs
from scripts.spec.section import Scalar
from scripts.verbs import options
from train.metrics import OBJECTIVE


def best(
    job: options.Job,
    region: options.Region = None,
    as_json: options.AsJson = False,
    dry_run: options.DryRun = False,
) -> None:
    """Print a tuning job's trials and best hyperparameters."""
    if dry_run:
        terminal.dry_run([jobs.describe(jobs.TUNING, job), jobs.trials(job)])
        return
    aws = Aws(region)
    if swept := _sweep_trials(aws, job):
        if as_json:
            terminal.result(json.dumps(_sweep_as_json(job, swept), indent=2))
        else:
            show_sweep(job, swept)
        return
    about = aws.send(jobs.describe(jobs.TUNING, job))
    tried = trials.fetch(aws, job)
    if as_json:
        terminal.result(json.dumps(_as_json(about, tried), indent=2))
        return
    show_best(about, tried)
    if "BestTrainingJob" not in about:
        state = about["HyperParameterTuningJobStatus"]
        raise Problem(f"{job} ({state}): no trial has a result yet")


def show_best(about: dict[str, Any], tried: list[trials.Trial]) -> None:
    """Print the table, then the best hyperparameters as lines for `[hyperparameters]`."""
    objective = _objective(about)
    trials.show(tried, objective["MetricName"], minimize=objective["Type"] == "Minimize")
    if winner := about.get("BestTrainingJob"):
        _show_hyperparameters(trials.parse_tuned(winner["TunedHyperParameters"]))
        job = about["HyperParameterTuningJobName"]
        terminal.note(f"train with them: kennel train SPEC --from-tuning {job}")


def show_sweep(job: str, swept: list[dict[str, Any]]) -> None:
    """Print the table, then the best hyperparameters; the job's bundle is the best trial's."""
    sweeps.show(swept)
    _show_hyperparameters(sweeps.hyperparameters(swept[0]))
    terminal.note(f"the job has the bundle of the best trial: kennel deploy SPEC --job {job}")


def _sweep_trials(aws: Aws, job: str) -> list[dict[str, Any]]:
    """The trials of a sweep; an empty list if the job is a tuning job."""
    try:
        about = aws.send(jobs.describe(jobs.TRAINING, job))
    except AwsProblem as problem:
        if problem.missing:
            return []
        raise
    if not about.get("HyperParameters", {}).get("sweep"):
        raise Problem(
            f"{job} is one training job, neither a tuning job nor a sweep: "
            f"`kennel status {job}` prints its metrics"
        )
    swept = sweeps.fetch(aws, job)
    if not swept:
        raise Problem(f"{job} ({about['TrainingJobStatus']}): no trial of the sweep has ended")
    return swept


def _show_hyperparameters(found: dict[str, Scalar]) -> None:
    terminal.result("")
    for name, value in found.items():
        terminal.result(f"{name} = {json.dumps(value)}")


def _objective(about: dict[str, Any]) -> dict[str, str]:
    objective: dict[str, str] = about["HyperParameterTuningJobConfig"][
        "HyperParameterTuningJobObjective"
    ]
    return objective


def _sweep_as_json(job: str, swept: list[dict[str, Any]]) -> dict[str, Any]:
    listed = [{"job": job, **one, "hyperparameters": sweeps.hyperparameters(one)} for one in swept]
    return {"training_job": job, "objective": OBJECTIVE.name, "best": listed[0], "trials": listed}


def _as_json(about: dict[str, Any], tried: list[trials.Trial]) -> dict[str, Any]:
    objective = _objective(about)
    winner = about.get("BestTrainingJob")
    return {
        "tuning_job": about["HyperParameterTuningJobName"],
        "status": about["HyperParameterTuningJobStatus"],
        "objective": objective["MetricName"],
        "best": {
            "job": winner["TrainingJobName"],
            "hyperparameters": trials.parse_tuned(winner["TunedHyperParameters"]),
        }
        if winner
        else None,
        "trials": [
            {
                "job": one.job,
                "status": one.status,
                "value": one.value,
                "hyperparameters": one.hyperparameters,
            }
            for one in trials.ranked(tried, minimize=objective["Type"] == "Minimize")
        ],
    }
