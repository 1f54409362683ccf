"""`kennel register`: makes SageMaker images of ECR images, with versions and aliases."""

import hashlib
import re
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from scripts.aws import watch
from scripts.aws.client import Aws, AwsProblem
from scripts.console import terminal
from scripts.problem import Problem
from scripts.requests import registry
from scripts.requests.request import Request
from scripts.spec import Experiment
from scripts.verbs import options

_LOCKS = Path(__file__).parents[3] / "docker" / "locks"
Alias = Annotated[
    list[str] | None, typer.Option(help="a name for this version, such as stable; can be repeated")
]


def register(
    file: options.File,
    alias: Alias = None,
    processor: Annotated[Literal["CPU", "GPU"], typer.Option(help="what they run on")] = "GPU",
    changes: options.Changes = None,
    dry_run: options.DryRun = False,
) -> None:
    """Register the experiment's images with SageMaker.

    Waits until they are ready.
    """
    experiment = options.experiment(file, changes)
    aliases = alias or []
    plans = [
        _plan(experiment, experiment.images.train, "TRAINING", processor, aliases),
        _plan(experiment, experiment.images.serve, "INFERENCE", processor, aliases),
    ]
    if experiment.images.serve_cpu:
        plans.append(_plan(experiment, experiment.images.serve_cpu, "INFERENCE", "CPU", aliases))
    if dry_run:
        terminal.dry_run(request for plan in plans for request in plan)
        return
    aws = Aws(experiment.region)
    for image, version in plans:
        try:
            aws.send(image)
        except AwsProblem as problem:
            if not problem.already_exists:
                raise
        name = image.parameters["ImageName"]
        _wait(aws, registry.describe_image(name), "ImageStatus")
        arn = aws.send(version)["ImageVersionArn"]
        number = int(arn.rpartition("/")[2])
        about = _wait(aws, registry.describe_version(name, version=number), "ImageVersionStatus")
        names = " ".join(f"{name}@{one}" for one in aliases)
        terminal.result(f"{name} version {number}: {about.get('ContainerImage')} {names}".rstrip())


def _plan(
    experiment: Experiment,
    uri: str,
    job_type: Literal["TRAINING", "INFERENCE"],
    processor: Literal["CPU", "GPU"],
    aliases: list[str],
) -> tuple[Request, Request]:
    """CreateImage and CreateImageVersion for one ECR URI.

    Raises:
        Problem: the image is an alias instead of a URI.
    """
    found = re.search(r"/([^/:@]+)[:@]", uri)
    if not found:
        raise Problem(
            f"{uri} is an alias, and registering needs an ECR URI: give it "
            "with --set images.train=…, images.serve=… and images.serve_cpu=…"
        )
    name = found[1].replace("_", "-")
    what = "trains" if job_type == "TRAINING" else "serves"
    image = registry.create_image(name, experiment.role, f"Kennel {what} image classifiers")
    # Registering the same URI and aliases again must not create another version.
    token = hashlib.sha256(" ".join([uri, *sorted(aliases)]).encode()).hexdigest()[:32]
    small = uri == experiment.images.serve_cpu
    version = locked("openvino", "serve-cpu") if small else locked("torch", "torch")
    request = registry.create_image_version(
        name,
        uri,
        job_type=job_type,
        framework=f"OpenVINO {version}" if small else f"PyTorch {version}",
        processor=processor,
        aliases=aliases,
        token=token,
        notes=f"registered by kennel from {uri}"[:255],
    )
    return image, request


def locked(package: str, lock: str) -> str:
    """The version of a package in the images, from their lock file."""
    text = (_LOCKS / f"{lock}.txt").read_text()
    found = re.search(rf"^{package}==(\d+\.\d+(\.\d+)?)", text, re.MULTILINE)
    assert found, f"docker/locks/{lock}.txt locks {package}"
    return found[1]


def _wait(aws: Aws, request: Request, key: str) -> dict[str, Any]:
    """Wait until AWS has created the image or version.

    Raises:
        Problem: AWS failed to create it.
    """
    ended = ("CREATED", "UPDATE_FAILED", "CREATE_FAILED", "DELETE_FAILED")
    about = watch.wait_until(lambda: aws.send(request), key, ended)
    if about[key] != "CREATED":
        reason = about.get("FailureReason", "no reason given")
        raise Problem(
            f"{request.parameters['ImageName']} is {about[key]}: {reason}\n"
            "the role must be able to read the repository, and must trust sagemaker.amazonaws.com"
        )
    return about
