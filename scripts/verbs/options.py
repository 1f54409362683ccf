"""Arguments and options that several verbs share, and what they turn into."""

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from scripts import spec
from scripts.aws.client import Aws
from scripts.console import names
from scripts.problem import Problem
from scripts.requests import registry
from scripts.requests.request import Request

File = Annotated[Path, typer.Argument(help="the experiment's TOML file", show_default=False)]
Job = Annotated[str, typer.Argument(help="the job's name")]
Contains = Annotated[str | None, typer.Argument(help="only names that contain this text")]
Changes = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="override the file, as in tags.team=vision"),
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="print the requests as JSON; needs no credentials")
]
Region = Annotated[str | None, typer.Option(help="override AWS_REGION and the profile")]
Snippet = Annotated[
    bool, typer.Option("--snippet", help="also print how to continue with the SageMaker SDK")
]
Yes = Annotated[bool, typer.Option("--yes", help="do not ask for confirmation")]
NoCheck = Annotated[
    bool, typer.Option("--no-check", help="start it without asking AWS first what would fail")
]
AsJson = Annotated[bool, typer.Option("--json", help="print JSON")]


def experiment(file: Path, changes: list[str] | None) -> spec.Experiment:
    """Read the file, and apply the changes."""
    return spec.load(file, changes or ())


def job_name(given: str | None, experiment: spec.Experiment, max_length: int) -> str:
    """The name given on the command line, or the experiment's name with the time.

    Raises:
        Problem: SageMaker does not take the name.
    """
    if given is None:
        return names.stamped(experiment.name, datetime.now(UTC), max_length)
    if len(given) > max_length or not re.fullmatch(r"[a-zA-Z0-9](-*[a-zA-Z0-9])*", given):
        raise Problem(f"--name {given}: use at most {max_length} letters, digits and hyphens")
    return given


def alias_requests(image: str) -> list[Request]:
    """The request that resolves `name@alias`; none for an ECR URI."""
    found = re.fullmatch(r"([^/:]+)@([^/:]+)", image)
    return [registry.describe_version(found[1], alias=found[2])] if found else []


def resolve(aws: Aws, image: str) -> str:
    """Return the ECR URI of an image; aliases are resolved.

    Raises:
        Problem: this version of the image is not ready.
    """
    for request in alias_requests(image):
        version = aws.send(request)
        if version["ImageVersionStatus"] != "CREATED":
            raise Problem(
                f"{image} is {version['ImageVersionStatus']}: {version.get('FailureReason', '')} "
                "register it again with `kennel register`"
            )
        return str(version.get("ContainerImage") or version["BaseImage"])
    return image
