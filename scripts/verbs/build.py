"""`kennel build`: the images, on this machine."""

import os
import subprocess
from pathlib import Path
from typing import Annotated

import typer

from scripts.problem import Problem
from scripts.verbs.push import Image

_SCRIPT = Path(__file__).parents[2] / "docker" / "build.sh"


def build(
    images: Annotated[list[Image] | None, typer.Argument(help="both unless named")] = None,
    tag: Annotated[str, typer.Option(help="what to call them")] = "local",
    base_image: Annotated[
        str | None, typer.Option(help="in place of the one in docker/versions.env")
    ] = None,
) -> None:
    """Build kennel-train and kennel-serve with the Docker engine of this machine."""
    if not _SCRIPT.is_file():
        raise Problem("building needs the repository: clone it, and run `make build` there")
    given = os.environ | {"TAG": tag} | ({"BASE_IMAGE": base_image} if base_image else {})
    done = subprocess.run([_SCRIPT, *(one.value for one in images or [])], env=given, check=False)
    if done.returncode:
        raise typer.Exit(1)
