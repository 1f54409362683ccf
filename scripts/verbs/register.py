"""`kennel register`: images in ECR become SageMaker images, with versions and aliases."""

import hashlib
import re
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from scripts.aws import watch
from scripts.aws.client import Aws, AwsProblem
from scripts.console import shown
from scripts.problem import Problem
from scripts.requests import registry
from scripts.requests.request import Request
from scripts.spec import Experiment
from scripts.verbs import options

_LOCK = Path(__file__).parents[2] / "docker" / "locks" / "torch.txt"
Alias = Annotated[
    list[str] | None, typer.Option(help="a name that jobs find this version by, such as stable")
]


def register(
    file: options.File,
    alias: Alias = None,
    processor: Annotated[Literal["CPU", "GPU"], typer.Option(help="what it is for")] = "GPU",
    changes: options.Changes = None,
    dry_run: options.DryRun = False,
) -> None:
    """Register the experiment's two images with SageMaker, and wait until they can be used."""
    experiment = options.experiment(file, changes)
    aliases = alias or []
    plans = [
        _plan(experiment, experiment.images.train, "TRAINING", processor, aliases),
        _plan(experiment, experiment.images.serve, "INFERENCE", processor, aliases),
    ]
    if dry_run:
        shown.dry(request for plan in plans for request in plan)
        return
    aws = Aws(experiment.region)
    for image, version in plans:
        try:
            aws.send(image)
        except AwsProblem as problem:
            if not problem.present:
                raise
        name = image.parameters["ImageName"]
        _wait(aws, registry.described_image(name), "ImageStatus")
        arn = aws.send(version)["ImageVersionArn"]
        number = int(arn.rpartition("/")[2])
        about = _wait(aws, registry.described_version(name, version=number), "ImageVersionStatus")
        names = " ".join(f"{name}@{one}" for one in aliases)
        shown.tell(f"{name} version {number}: {about.get('ContainerImage')} {names}".rstrip())


def _plan(
    experiment: Experiment,
    uri: str,
    job_type: Literal["TRAINING", "INFERENCE"],
    processor: Literal["CPU", "GPU"],
    aliases: list[str],
) -> tuple[Request, Request]:
    """CreateImage and CreateImageVersion of one ECR URI.

    Raises:
        Problem: an alias in place of a URI.
    """
    found = re.search(r"/([^/:@]+)[:@]", uri)
    if not found:
        raise Problem(
            f"{uri} is an alias, which is what registering makes: name the ECR URI, "
            "with --set images.train=… and images.serve=…"
        )
    name = found[1].replace("_", "-")
    what = "trains" if job_type == "TRAINING" else "serves"
    image = registry.image(name, experiment.role, f"Kennel {what} image classifiers")
    # The same URI and aliases again are the same version, not another one.
    token = hashlib.sha256(" ".join([uri, *sorted(aliases)]).encode()).hexdigest()[:32]
    version = registry.image_version(
        name,
        uri,
        job_type=job_type,
        framework=f"PyTorch {torch_version()}",
        processor=processor,
        aliases=aliases,
        token=token,
        notes=f"registered by kennel from {uri}"[:255],
    )
    return image, version


def torch_version() -> str:
    """The version of torch that the images hold, by their lock."""
    found = re.search(r"^torch==(\d+\.\d+(\.\d+)?)", _LOCK.read_text(), re.MULTILINE)
    assert found, "docker/locks/torch.txt locks torch"
    return found[1]


def _wait(aws: Aws, request: Request, key: str) -> dict[str, Any]:
    """Wait until AWS has made it.

    Raises:
        Problem: it could not.
    """
    over = ("CREATED", "UPDATE_FAILED", "CREATE_FAILED", "DELETE_FAILED")
    about = watch.until(lambda: aws.send(request), key, over)
    if about[key] != "CREATED":
        reason = about.get("FailureReason", "no reason given")
        raise Problem(
            f"{request.parameters['ImageName']} is {about[key]}: {reason}\n"
            "its role has to read the repository, and trust sagemaker.amazonaws.com"
        )
    return about
