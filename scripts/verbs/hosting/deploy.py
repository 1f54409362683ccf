"""`kennel deploy`: serve a bundle."""

from datetime import UTC, datetime
from typing import Annotated

import typer

from scripts.aws import deployment, prices
from scripts.aws.client import Aws
from scripts.aws.listing import find
from scripts.console import names, snippets, terminal
from scripts.problem import Problem
from scripts.requests import jobs
from scripts.spec.endpoint import MultiModel
from scripts.verbs import options, preflight


def deploy(
    file: options.File,
    job: Annotated[
        str | None, typer.Option(help="a training job, or a tuning job: its best trial")
    ] = None,
    model: Annotated[str | None, typer.Option(metavar="S3://…", help="a model.tar.gz")] = None,
    name: Annotated[
        str | None, typer.Option(help="the endpoint's name; default: the experiment's")
    ] = None,
    changes: options.Changes = None,
    snippet: options.Snippet = False,
    no_check: options.NoCheck = False,
    dry_run: options.DryRun = False,
) -> None:
    """Deploy a job's bundle to an endpoint.

    An experiment of kind "transform" runs its batch job instead.
    """
    experiment = options.experiment(file, changes)
    if experiment.endpoint is None:
        raise Problem(f'{file} has no [endpoint]: add one, such as kind = "realtime"')
    folder = isinstance(experiment.endpoint, MultiModel)
    if folder and (job or model):
        raise Problem(
            "a multi-model endpoint serves the folder endpoint.models: give no --job or --model"
        )
    if not folder and (job is None) == (model is None):
        raise Problem("give what to serve: --job JOB, or --model s3://…/model.tar.gz")
    price = prices.before_hosting(experiment)
    now = datetime.now(UTC)
    resource, endpoint = names.stamped(experiment.name, now), name or experiment.name
    image = experiment.serving_image
    if dry_run:
        terminal.note(price)
        output = experiment.output.rstrip("/")
        data = model if job is None else f"{output}/{job}/output/model.tar.gz"
        plan = deployment.Deployment(experiment, endpoint, resource, image, data, now)
        terminal.dry_run([*options.alias_requests(image), *plan.requests()])
        return
    aws = Aws(experiment.region)
    data = _bundle(aws, job) if job else model
    preflight.check(aws, experiment, "deploy", endpoint, price, skip=no_check)
    plan = deployment.Deployment(
        experiment, endpoint, resource, options.resolve(aws, image), data, now
    )
    if plan.is_transform:
        deployment.transform(aws, plan)
        terminal.result(getattr(experiment.endpoint, "output", ""))
        return
    deployment.deploy(aws, plan)
    terminal.result(endpoint)
    if snippet:
        terminal.note(snippets.endpoint(endpoint))
    use = f"kennel predict {endpoint} photo.jpg" + (" --model ARCHIVE.tar.gz" if folder else "")
    terminal.note(f"use it: {use}; delete it: kennel down {endpoint}")


def _bundle(aws: Aws, job: str) -> str:
    """Return the S3 address of the bundle of a training job, or of a tuning job's best trial.

    Raises:
        Problem: there is no bundle.
    """
    kind, about = find(aws, job)
    if kind == jobs.TUNING:
        if "BestTrainingJob" not in about:
            raise Problem(
                f"{job} ({about['HyperParameterTuningJobStatus']}) has no best trial: "
                f"see `kennel best {job}`"
            )
        job = about["BestTrainingJob"]["TrainingJobName"]
        about = aws.send(jobs.describe(jobs.TRAINING, job))
    elif kind == jobs.TRANSFORM:
        raise Problem(f"{job} is a transform job: give the training job whose bundle you want")
    state = about["TrainingJobStatus"]
    artifacts = about.get("ModelArtifacts", {}).get("S3ModelArtifacts")
    if state == "Failed":
        reason = about.get("FailureReason", "no reason given")
        raise Problem(f"{job} failed and has no bundle: {reason}\nsee `kennel logs {job}`")
    if not artifacts or state not in jobs.ENDED:
        raise Problem(
            f"{job} ({state}) has no bundle yet: `kennel logs {job} --follow` waits for its end"
        )
    return str(artifacts)
