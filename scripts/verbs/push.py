"""`kennel push`: the images of this machine into ECR."""

from enum import StrEnum
from typing import Annotated

import typer

from scripts.aws import pushing
from scripts.aws.client import Aws
from scripts.console import shown
from scripts.requests import registry
from scripts.verbs import options


class Image(StrEnum):
    """The two images."""

    TRAIN = "train"
    SERVE = "serve"


def push(
    tag: Annotated[str, typer.Option(help="in ECR; can be used once")],
    images: Annotated[list[Image] | None, typer.Argument(help="both unless named")] = None,
    local_tag: Annotated[str, typer.Option(help="what `make build` called them")] = "local",
    address: Annotated[
        str | None, typer.Option("--registry", metavar="URL", help="in place of the account's ECR")
    ] = None,
    region: options.Region = None,
    dry_run: options.DryRun = False,
) -> None:
    """Push the images: repositories are made, the login is forgotten, the manifest is checked."""
    names = [f"kennel-{one.value}" for one in images or list(Image)]
    if dry_run:
        shown.dry([*(one for name in names for one in registry.repository(name)), registry.login()])
        return
    aws = Aws(region)
    for name in names:
        pushing.ensure_repository(aws, name)
    with pushing.logged_in(aws, address) as login:
        for name in names:
            remote = f"{login.host}/{name}:{tag}"
            shown.say(f"pushing {name}:{local_tag} to {remote}")
            pushing.push(f"{name}:{local_tag}", remote, login.environment)
            shown.tell(f"{login.host}/{name}@{pushing.confirmed(login, name, tag)}")
