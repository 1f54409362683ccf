"""Arguments and options that several verbs have alike, and what they turn into."""

import re
from pathlib import Path
from typing import Annotated

import typer

from scripts import spec
from scripts.aws.client import Aws
from scripts.problem import Problem
from scripts.requests import registry
from scripts.requests.request import Request

File = Annotated[Path, typer.Argument(help="the experiment's TOML file", show_default=False)]
Changes = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="goes over the file, such as tags.team=vision"),
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="print the exact requests as JSON; needs no credentials")
]
Region = Annotated[str | None, typer.Option(help="in place of AWS_REGION and the profile's")]
Snippet = Annotated[
    bool, typer.Option("--snippet", help="also print how to go on with the SageMaker SDK")
]
AsJson = Annotated[bool, typer.Option("--json", help="print JSON")]


def experiment(file: Path, changes: list[str] | None) -> spec.Experiment:
    """Read the file with the changes over it."""
    return spec.load(file, changes or ())


def alias(image: str) -> Request | None:
    """The call that resolves `name@alias`; None for an ECR URI, which needs none."""
    found = re.fullmatch(r"([^/:]+)@([^/:]+)", image)
    return registry.described_version(found[1], alias=found[2]) if found else None


def resolved(aws: Aws, image: str) -> str:
    """The ECR URI behind an alias.

    Raises:
        Problem: that version of the image is not ready.
    """
    question = alias(image)
    if question is None:
        return image
    version = aws.send(question)
    if version["ImageVersionStatus"] != "CREATED":
        raise Problem(
            f"{image} is {version['ImageVersionStatus']}: {version.get('FailureReason', '')} "
            "register it again with `kennel register`"
        )
    return str(version.get("ContainerImage") or version["BaseImage"])
