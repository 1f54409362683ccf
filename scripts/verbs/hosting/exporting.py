"""`kennel export`: writes a bundle's network as ONNX, for fast serving on processors.

The work needs torch, so it runs in a process of its own: nothing of it is imported here.
"""

import importlib.util
from pathlib import Path
from typing import Annotated

import typer

from scripts.problem import Problem
from scripts.verbs.hosting import process


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
    options: dict[str, object] = {"--photos": photos, "--out": out}
    process.run("classifier.exporting.command", options, str(bundle))
