"""`kennel build`: the images, on this machine."""

import os
import subprocess
from pathlib import Path
from typing import Annotated

import typer

from scripts.problem import Problem
from scripts.verbs.images.push import Image

_SCRIPT = Path(__file__).parents[3] / "docker" / "build.sh"


def build(
    images: Annotated[list[Image] | None, typer.Argument(help="default: all")] = None,
    tag: Annotated[str, typer.Option(help="the tag of the images")] = "local",
    base_image: Annotated[
        str | None, typer.Option(help="override the one in docker/versions.env")
    ] = None,
) -> None:
    """Build the images kennel-train, kennel-serve and kennel-serve-cpu."""
    if not _SCRIPT.is_file():
        raise Problem("building needs the repository: clone it, and run `make build` there")
    environment = os.environ | {"TAG": tag} | ({"BASE_IMAGE": base_image} if base_image else {})
    command = [_SCRIPT, *(one.value for one in images or [])]
    if subprocess.run(command, env=environment, check=False).returncode:
        raise typer.Exit(1)
