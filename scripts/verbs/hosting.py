"""`kennel deploy` and `kennel predict`: from a bundle to answers."""

import json
import mimetypes
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from scripts.aws import asking, deployment, prices
from scripts.aws.client import Aws
from scripts.console import names, shown, snippets
from scripts.problem import Problem
from scripts.requests import endpoints as requests
from scripts.requests import running
from scripts.spec.endpoint import MultiModel
from scripts.verbs import options
from scripts.verbs.jobs import find


def deploy(
    file: options.File,
    job: Annotated[
        str | None, typer.Option(help="the training job, or the tuning job for its best")
    ] = None,
    model: Annotated[str | None, typer.Option(metavar="S3://…", help="a model.tar.gz")] = None,
    name: Annotated[str | None, typer.Option(help="of the endpoint; the experiment's")] = None,
    changes: options.Changes = None,
    snippet: options.Snippet = False,
    dry_run: options.DryRun = False,
) -> None:
    """Put a job's bundle behind the experiment's endpoint, or run its batch transform."""
    experiment = options.experiment(file, changes)
    if experiment.endpoint is None:
        raise Problem(f'{file} has no [endpoint]: add one, such as kind = "realtime"')
    folder = isinstance(experiment.endpoint, MultiModel)
    if folder and (job or model):
        raise Problem("a multi-model endpoint serves the whole folder endpoint.models: name no job")
    if not folder and (job is None) == (model is None):
        raise Problem("name what to serve: --job JOB, or --model s3://…/model.tar.gz")
    shown.say(prices.before_hosting(experiment))
    now = datetime.now(UTC)
    resource, endpoint = names.stamped(experiment.name, now), name or experiment.name
    image = experiment.images.serve
    if dry_run:
        output = experiment.output.rstrip("/")
        data = model if job is None else f"{output}/{job}/output/model.tar.gz"
        plan = deployment.Deployment(experiment, endpoint, resource, image, data, now)
        shown.dry([*filter(None, [options.alias(image)]), *plan.requests()])
        return
    aws = Aws(experiment.region)
    data = _bundle(aws, job) if job else model
    plan = deployment.Deployment(
        experiment, endpoint, resource, options.resolved(aws, image), data, now
    )
    if plan.is_transform:
        deployment.transform(aws, plan)
        shown.tell(getattr(experiment.endpoint, "output", ""))
        return
    deployment.deploy(aws, plan)
    shown.tell(endpoint)
    if snippet:
        shown.say(snippets.endpoint(endpoint))
    shown.say(f"ask it: kennel predict {endpoint} photo.jpg; end it: kennel down {endpoint}")


def predict(
    endpoint: Annotated[str, typer.Argument(help="its name")],
    photos: Annotated[list[Path], typer.Argument(help="pictures")],
    top: Annotated[int, typer.Option(min=1, help="so many of the likeliest classes")] = 3,
    model: Annotated[str | None, typer.Option(help="of a multi-model endpoint")] = None,
    as_json: options.AsJson = False,
    region: options.Region = None,
    dry_run: options.DryRun = False,
) -> None:
    """Ask an endpoint about pictures: the likeliest classes of each."""
    kinds = [mimetypes.guess_type(photo.name, strict=False)[0] or "" for photo in photos]
    kinds = [kind if kind.startswith("image/") else "application/x-image" for kind in kinds]
    asked = list(zip(photos, kinds, strict=True))
    if dry_run:
        shown.dry(
            requests.invoked(endpoint, str(photo), kind, asking.ACCEPT, model)
            for photo, kind in asked
        )
        shown.say("of an asynchronous endpoint: PutObject and InvokeEndpointAsync instead")
        return
    answers = asking.ask(Aws(region), endpoint, asked, model)
    if as_json:
        shown.tell(json.dumps(answers, indent=2, ensure_ascii=False))
        return
    rows = []
    for photo, answer in answers.items():
        likeliest = sorted(
            zip(answer["probabilities"], answer["labels"], strict=True), reverse=True
        )
        rows.append(
            [photo, *(f"{label} {probability:.3f}" for probability, label in likeliest[:top])]
        )
    places = min(top, *(len(row) - 1 for row in rows))
    shown.table(["picture", *("likeliest then then".split() * top)[:places]], rows, none="")


def _bundle(aws: Aws, job: str) -> str:
    """The bundle of a training job, or of a tuning job's best.

    Raises:
        Problem: it has none.
    """
    kind, about = find(aws, job)
    if kind.name == "HyperParameterTuningJob":
        if "BestTrainingJob" not in about:
            raise Problem(f"{job} has no best trial: see `kennel best {job}`")
        about = aws.send(running.training_job(about["BestTrainingJob"]["TrainingJobName"]))
    artifacts = about.get("ModelArtifacts", {}).get("S3ModelArtifacts")
    if not artifacts:
        raise Problem(f"{job} ({about.get(kind.status, kind.name)}) left no bundle")
    return str(artifacts)
