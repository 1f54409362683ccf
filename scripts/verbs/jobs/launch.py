"""`kennel tune` and `kennel train`: start jobs from an experiment, and follow them."""

from typing import Annotated, Any

import typer

from scripts import spec
from scripts.aws import prices, sweeps, trials, watch
from scripts.aws.client import Aws, AwsProblem
from scripts.console import names, snippets, terminal
from scripts.problem import Problem
from scripts.requests import debugging, jobs, training
from scripts.requests.request import Request
from scripts.spec.section import Scalar
from scripts.verbs import options, preflight
from scripts.verbs.jobs.best import show_best, show_sweep

Name = Annotated[str | None, typer.Option(help="the job's name; default: experiment and time")]
Detach = Annotated[bool, typer.Option("--detach", help="do not wait for the end")]


def tune(
    file: options.File,
    changes: options.Changes = None,
    name: Name = None,
    detach: Detach = False,
    snippet: options.Snippet = False,
    no_check: options.NoCheck = False,
    dry_run: options.DryRun = False,
) -> None:
    """Start a tuning job, and follow it to its end.

    Checks the account and prints the number of jobs and their cost first.
    """
    experiment = options.experiment(file, changes)
    tuning = experiment.tuning
    if tuning is None:
        raise Problem(f"{file} has no [tuning]: add a strategy and ranges, or use `kennel train`")
    price = prices.before_training(experiment, tuning.jobs)
    if dry_run:
        terminal.note(price)
    if tuning.strategy == "sweep":
        job = options.job_name(name, experiment, names.MAX_LENGTH)
        hyperparameters = experiment.swept()
        if dry_run:
            _dry_run_training(experiment, job, hyperparameters)
            return
        aws = Aws(experiment.region)
        preflight.check(aws, experiment, "train", job, price, skip=no_check)
        _train(aws, experiment, job, hyperparameters, detach=detach, snippet=snippet)
        if not detach:
            show_sweep(job, sweeps.fetch(aws, job))
        return
    if experiment.could_sweep:
        terminal.note(
            f'the backbone is frozen: strategy = "sweep" trains all {tuning.jobs} trials in 1 job, '
            "in about the time of the longest trial "
            "(--set tuning.strategy=sweep --set tuning.parallel=1)"
        )
    if experiment.debugger and experiment.debugger.managed_rules:
        terminal.note("ignoring debugger.managed_rules: tuning jobs cannot have them")
    job = options.job_name(name, experiment, names.MAX_LENGTH_TUNING)
    image = experiment.images.train
    if dry_run:
        request = training.tuning_job(experiment, job, image)
        terminal.dry_run([*options.alias_requests(image), request])
        return
    aws = Aws(experiment.region)
    preflight.check(aws, experiment, "tune", job, price, skip=no_check)
    aws.send(training.tuning_job(experiment, job, options.resolve(aws, image)))
    _report_start(job, detach, snippets.tuning_job(job) if snippet else "")
    if not detach:
        about = watch.tuning_job(aws, job, tuning.jobs)
        show_best(about, trials.fetch(aws, job))
        if about["HyperParameterTuningJobStatus"] == "Failed":
            raise typer.Exit(1)


def train(
    file: options.File,
    changes: options.Changes = None,
    from_tuning: Annotated[
        str | None, typer.Option(metavar="JOB", help="use this tuning job's best hyperparameters")
    ] = None,
    name: Name = None,
    detach: Detach = False,
    snippet: options.Snippet = False,
    no_check: options.NoCheck = False,
    dry_run: options.DryRun = False,
) -> None:
    """Start a training job, and follow it to its end.

    Checks the account and prints the cost first.
    """
    experiment = options.experiment(file, changes)
    price = prices.before_training(experiment, 1)
    job = options.job_name(name, experiment, names.MAX_LENGTH)
    if dry_run:
        terminal.note(price)
        first = []
        if from_tuning:
            first.append(jobs.describe(jobs.TUNING, from_tuning))
            terminal.note(f"the best of {from_tuning} will override these hyperparameters")
        _dry_run_training(experiment, job, experiment.settings(), *first)
        return
    aws = Aws(experiment.region)
    hyperparameters = experiment.settings()
    if from_tuning:
        hyperparameters = _with_best(aws, hyperparameters, from_tuning)
    preflight.check(aws, experiment, "train", job, price, skip=no_check)
    _train(aws, experiment, job, hyperparameters, detach=detach, snippet=snippet)


def _dry_run_training(
    experiment: spec.Experiment, job: str, hyperparameters: dict[str, Scalar], *first: Request
) -> None:
    image = experiment.images.train
    request = training.training_job(experiment, job, image, hyperparameters)
    terminal.dry_run([*options.alias_requests(image), *first, request])


def _train(
    aws: Aws,
    experiment: spec.Experiment,
    job: str,
    hyperparameters: dict[str, Scalar],
    *,
    detach: bool,
    snippet: bool,
) -> None:
    """Start a training job and, unless `detach`, follow it to its end."""
    image = options.resolve(aws, experiment.images.train)
    _send(aws, training.training_job(experiment, job, image, hyperparameters))
    _report_start(job, detach, snippets.training_job(job) if snippet else "")
    if not detach and watch.training_job(aws, job)["TrainingJobStatus"] == "Failed":
        raise typer.Exit(1)


def _send(aws: Aws, request: Request) -> None:
    """Start the job; without AWS's managed rules if the account cannot have them."""
    try:
        aws.send(request)
    except AwsProblem as problem:
        unmanaged = debugging.without(request)
        if unmanaged == request or problem.code != "ValidationException":
            raise
        aws.send(unmanaged)
        terminal.note(f"started without AWS's managed rules; Kennel's own rules run: {problem}")


def _report_start(job: str, detach: bool, snippet: str) -> None:
    terminal.result(job)
    if snippet:
        terminal.note(snippet)
    if detach:
        terminal.note(f"watch it: kennel logs {job} --follow; stop it: kennel stop {job}")


def _with_best(aws: Aws, hyperparameters: dict[str, Scalar], tuning_job: str) -> dict[str, Scalar]:
    """The hyperparameters, overridden by the best trial's.

    Raises:
        Problem: no trial has a result.
    """
    about: dict[str, Any] = aws.send(jobs.describe(jobs.TUNING, tuning_job))
    best = about.get("BestTrainingJob")
    if not best:
        state = about["HyperParameterTuningJobStatus"]
        raise Problem(f"{tuning_job} ({state}) has no best trial: see `kennel best {tuning_job}`")
    found = trials.parse_tuned(best["TunedHyperParameters"])
    values = ", ".join(f"{name} {value}" for name, value in found.items())
    terminal.note(f"from {best['TrainingJobName']}: {values}")
    overridden = {spec.canonical(name) for name in found}
    own = {k: v for k, v in hyperparameters.items() if spec.canonical(k) not in overridden}
    return own | found
