"""`kennel tune` and `kennel train`: start jobs from an experiment, and follow them."""

from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from scripts import spec
from scripts.aws import prices, sweeps, trials, watch
from scripts.aws.client import Aws, AwsProblem
from scripts.console import names, shown, snippets
from scripts.problem import Problem
from scripts.requests import debugging, running, training
from scripts.requests.request import Request
from scripts.spec.section import Scalar
from scripts.verbs import options
from scripts.verbs.best import show_best, show_sweep

Name = Annotated[str | None, typer.Option(help="of the job; by default the experiment's and time")]
Detach = Annotated[bool, typer.Option("--detach", help="start it, and do not wait for its end")]


def tune(
    file: options.File,
    changes: options.Changes = None,
    name: Name = None,
    detach: Detach = False,
    snippet: options.Snippet = False,
    dry_run: options.DryRun = False,
) -> None:
    """Start the experiment's tuning job: its number of jobs and cost first, then every trial."""
    experiment = options.experiment(file, changes)
    if experiment.tuning is None:
        raise Problem(f"{file} has no [tuning]: add a strategy and ranges, or use `kennel train`")
    shown.say(prices.before_training(experiment, experiment.tuning.jobs))
    if experiment.tuning.strategy == "sweep":
        _sweep(experiment, name, detach, snippet, dry_run)
        return
    if experiment.could_sweep:
        shown.say(
            f'the backbone is frozen: strategy = "sweep" trains all {experiment.tuning.jobs} '
            "trials in 1 job, in about the time of the longest, and saves the other "
            f"{experiment.tuning.jobs - 1} (--set tuning.strategy=sweep --set tuning.parallel=1)"
        )
    job = name or names.stamped(experiment.name, datetime.now(UTC), names.LONGEST_TUNING)
    if experiment.debugger and experiment.debugger.managed_rules:
        shown.say("without debugger.managed_rules: a tuning job has no field for them")
    question = options.alias(experiment.images.train)
    if dry_run:
        request = training.tuning_job(experiment, job, experiment.images.train)
        shown.dry([one for one in (question, request) if one])
        return
    aws = Aws(experiment.region)
    image = options.resolved(aws, experiment.images.train)
    aws.send(training.tuning_job(experiment, job, image))
    _started(job, detach, snippets.tuning_job(job) if snippet else "")
    if not detach:
        about = watch.tuning_job(aws, job)
        show_best(about, trials.fetch(aws, job))
        if about["HyperParameterTuningJobStatus"] == "Failed":
            raise typer.Exit(1)


def _sweep(
    experiment: spec.Experiment, name: str | None, detach: bool, snippet: bool, dry_run: bool
) -> None:
    """Start the one training job that trains the whole grid, and print what it found."""
    job = name or names.stamped(experiment.name, datetime.now(UTC))
    told = experiment.swept()
    if dry_run:
        question = options.alias(experiment.images.train)
        request = training.training_job(experiment, job, experiment.images.train, told)
        shown.dry([one for one in (question, request) if one])
        return
    aws = Aws(experiment.region)
    image = options.resolved(aws, experiment.images.train)
    aws.send(training.training_job(experiment, job, image, told))
    _started(job, detach, snippets.training_job(job) if snippet else "")
    if not detach:
        about = watch.training_job(aws, job)
        if about["TrainingJobStatus"] == "Failed":
            raise typer.Exit(1)
        show_sweep(job, sweeps.fetch(aws, job))


def train(
    file: options.File,
    changes: options.Changes = None,
    from_tuning: Annotated[
        str | None, typer.Option(metavar="JOB", help="use what this tuning job found best")
    ] = None,
    name: Name = None,
    detach: Detach = False,
    snippet: options.Snippet = False,
    dry_run: options.DryRun = False,
) -> None:
    """Start one training job of the experiment, and follow its states and its log to the end."""
    experiment = options.experiment(file, changes)
    shown.say(prices.before_training(experiment, 1))
    job = name or names.stamped(experiment.name, datetime.now(UTC))
    if dry_run:
        asked = [options.alias(experiment.images.train)]
        if from_tuning:
            asked.append(running.tuning_job(from_tuning))
            shown.say(f"what {from_tuning} found best goes over these hyperparameters")
        request = training.training_job(experiment, job, experiment.images.train)
        shown.dry([*filter(None, asked), request])
        return
    aws = Aws(experiment.region)
    image = options.resolved(aws, experiment.images.train)
    chosen = _found_best(aws, experiment, from_tuning) if from_tuning else None
    _send(aws, training.training_job(experiment, job, image, chosen))
    _started(job, detach, snippets.training_job(job) if snippet else "")
    if not detach:
        about = watch.training_job(aws, job)
        if about["TrainingJobStatus"] == "Failed":
            raise typer.Exit(1)


def _send(aws: Aws, request: Request) -> None:
    """Start the job, without AWS's own rules where the account cannot have them."""
    try:
        aws.send(request)
    except AwsProblem as problem:
        plain = debugging.without(request)
        if plain == request or problem.code != "ValidationException":
            raise
        aws.send(plain)
        shown.say(f"goes on without AWS's managed rules, Kennel's own run in the job: {problem}")


def _started(job: str, detach: bool, snippet: str) -> None:
    shown.tell(job)
    if snippet:
        shown.say(snippet)
    if detach:
        shown.say(f"watch it: kennel logs {job} --follow; end it: kennel stop {job}")


def _found_best(aws: Aws, experiment: spec.Experiment, tuning_job: str) -> dict[str, Scalar]:
    """The experiment's hyperparameters with the best trial's over them.

    Raises:
        Problem: no trial has finished with a value of the objective.
    """
    about: dict[str, Any] = aws.send(running.tuning_job(tuning_job))
    best = about.get("BestTrainingJob")
    if not best:
        state = about["HyperParameterTuningJobStatus"]
        raise Problem(f"{tuning_job} ({state}) has no best trial: see `kennel best {tuning_job}`")
    found = trials.typed(trials.plain(best["TunedHyperParameters"]))
    shown.say(f"from {best['TrainingJobName']}: " + ", ".join(f"{k} {v}" for k, v in found.items()))
    names_found = {spec.canonical(name) for name in found}
    kept = {
        name: value
        for name, value in experiment.settings().items()
        if spec.canonical(name) not in names_found
    }
    return kept | found
