"""`kennel push`: the images of this machine to ECR."""

from enum import StrEnum
from typing import Annotated

import typer

from scripts.aws import pushing
from scripts.aws.client import Aws
from scripts.console import terminal
from scripts.requests import registry
from scripts.verbs import options


class Image(StrEnum):
    """The images."""

    TRAIN = "train"
    SERVE = "serve"
    SERVE_CPU = "serve-cpu"


def push(
    tag: Annotated[str, typer.Option(help="the tag in ECR; each tag can be pushed once")],
    images: Annotated[list[Image] | None, typer.Argument(help="default: all")] = None,
    local_tag: Annotated[str, typer.Option(help="the tag on this machine")] = "local",
    address: Annotated[
        str | None, typer.Option("--registry", metavar="URL", help="instead of the account's ECR")
    ] = None,
    region: options.Region = None,
    dry_run: options.DryRun = False,
) -> None:
    """Push the images to ECR; missing repositories are created.

    Their floors (the images without our code) go to the repository kennel-floor, so that another
    machine can build on them.
    """
    names = [f"kennel-{one.value}" for one in images or list(Image)]
    if dry_run:
        repositories = [*names, pushing.FLOOR]
        creations = (one for name in repositories for one in registry.create_repository(name))
        terminal.dry_run([*creations, registry.login()])
        return
    aws = Aws(region)
    for name in names:
        pushing.ensure_repository(aws, name)
    with pushing.logged_in(aws, address) as login:
        for name in names:
            remote = f"{login.host}/{name}:{tag}"
            terminal.note(f"pushing {name}:{local_tag} to {remote}")
            pushing.push(f"{name}:{local_tag}", remote, login.environment)
            digest = pushing.check_manifest(login, name, tag)
            terminal.result(f"{login.host}/{name}@{digest}")
        floors = [one for name in names for one in pushing.floors(f"{name}:{local_tag}")]
        if floors:
            pushing.ensure_repository(aws, pushing.FLOOR)
        for floor in dict.fromkeys(floors):
            floor_tag = floor.partition(":")[2]
            if not pushing.has(login, pushing.FLOOR, floor_tag):
                terminal.note(f"pushing {floor}")
                pushing.push(floor, f"{login.host}/{floor}", login.environment)
