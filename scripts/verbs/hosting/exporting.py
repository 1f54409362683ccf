"""`kennel export`: writes a bundle's network as ONNX, for fast serving on processors.

The work needs torch, so it runs in a process of its own: nothing of it is imported here.
"""

import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from scripts.problem import Problem


def export(
    bundle: Annotated[Path, typer.Argument(help="its folder or .tar.gz", show_default=False)],
    photos: Annotated[
        Path | None,
        typer.Option(help="pictures in class folders that it was not trained on, for 8 bits"),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="a new folder or .tar.gz; unset: in its place")
    ] = None,
) -> None:
    """Add the network as ONNX to a bundle, for fast serving.

    Training jobs do this at their end. For older and imported bundles: with
    photos also in 8 bits, if that is as accurate on them (200 at least).
    """
    if importlib.util.find_spec("torch") is None or importlib.util.find_spec("onnx") is None:
        raise Problem("kennel export needs torch and onnx: pip install 'sagemaker-kennel[train]'")
    options = {"--photos": photos, "--out": out}
    # `=`: a value can begin with a dash. `--`: so can a file's name.
    given = [f"{name}={value}" for name, value in options.items() if value is not None]
    command = [sys.executable, "-m", "classifier.exporting.command", *given, "--", str(bundle)]
    done = subprocess.run(command, check=False)
    if done.returncode:
        raise typer.Exit(done.returncode)
