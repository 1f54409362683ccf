"""`kennel deploy` and `kennel predict`: serve a bundle, and classify pictures with it."""

import json
import mimetypes
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from scripts.aws import deployment, invoking, prices
from scripts.aws.client import Aws
from scripts.console import names, snippets, terminal
from scripts.problem import Problem
from scripts.requests import endpoints as requests
from scripts.requests import jobs
from scripts.spec.endpoint import MultiModel
from scripts.verbs import options
from scripts.verbs.jobs import find


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
    terminal.note(prices.before_hosting(experiment))
    now = datetime.now(UTC)
    resource, endpoint = names.stamped(experiment.name, now), name or experiment.name
    image = experiment.images.serve
    if dry_run:
        output = experiment.output.rstrip("/")
        data = model if job is None else f"{output}/{job}/output/model.tar.gz"
        plan = deployment.Deployment(experiment, endpoint, resource, image, data, now)
        terminal.dry_run([*options.alias_requests(image), *plan.requests()])
        return
    aws = Aws(experiment.region)
    data = _bundle(aws, job) if job else model
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
    terminal.note(f"use it: kennel predict {endpoint} photo.jpg; delete it: kennel down {endpoint}")


def predict(
    endpoint: Annotated[str, typer.Argument(help="the endpoint's name")],
    photos: Annotated[list[Path], typer.Argument(help="pictures")],
    top: Annotated[int, typer.Option(min=1, help="how many classes to print")] = 3,
    model: Annotated[
        str | None, typer.Option(help="for a multi-model endpoint: the archive's name")
    ] = None,
    as_json: options.AsJson = False,
    region: options.Region = None,
    dry_run: options.DryRun = False,
) -> None:
    """Classify pictures with an endpoint.

    Prints the most likely classes of each picture.
    """
    kinds = [mimetypes.guess_type(photo.name, strict=False)[0] or "" for photo in photos]
    kinds = [kind if kind.startswith("image/") else "application/x-image" for kind in kinds]
    requested = list(zip(photos, kinds, strict=True))
    if dry_run:
        terminal.dry_run(
            requests.invoke(endpoint, str(photo), kind, invoking.ACCEPT, model)
            for photo, kind in requested
        )
        terminal.note("for an asynchronous endpoint: PutObject and InvokeEndpointAsync instead")
        return
    answers = invoking.invoke(Aws(region), endpoint, requested, model)
    if as_json:
        terminal.result(json.dumps(answers, indent=2, ensure_ascii=False))
        return
    rows = []
    for photo, answer in answers.items():
        ranked = sorted(zip(answer["probabilities"], answer["labels"], strict=True), reverse=True)
        rows.append([photo, *(f"{label} {probability:.3f}" for probability, label in ranked[:top])])
    count = min(top, *(len(row) - 1 for row in rows))
    ranks = [f"class {rank}" for rank in range(1, count + 1)]
    terminal.table(["picture", *ranks], rows, if_empty="no pictures")


def _bundle(aws: Aws, job: str) -> str:
    """Return the S3 address of the bundle of a training job, or of a tuning job's best trial.

    Raises:
        Problem: there is no bundle.
    """
    kind, about = find(aws, job)
    if kind == jobs.TUNING:
        if "BestTrainingJob" not in about:
            raise Problem(f"{job} has no best trial: see `kennel best {job}`")
        about = aws.send(jobs.describe(jobs.TRAINING, about["BestTrainingJob"]["TrainingJobName"]))
    artifacts = about.get("ModelArtifacts", {}).get("S3ModelArtifacts")
    if not artifacts:
        raise Problem(f"{job} ({about.get(f'{kind}Status', kind)}) has no bundle")
    return str(artifacts)
