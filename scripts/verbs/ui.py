"""`kennel ui`: jobs, trials and endpoints in the browser, on this machine only."""

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from scripts.aws import target
from scripts.aws.client import Aws
from scripts.problem import Problem
from scripts.verbs import options


def ui(
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="on 127.0.0.1; default: a free port")
    ] = 0,
    no_open: Annotated[
        bool, typer.Option("--no-open", help="print the address only; open no browser")
    ] = False,
    bundle: Annotated[
        Path | None,
        typer.Option(exists=True, help="a bundle's folder or model.tar.gz, to try photos on"),
    ] = None,
    region: options.Region = None,
) -> None:
    """Show jobs, trials and endpoints in the browser, until Ctrl-C.

    The address has a token: only who has it can use the page.
    """
    if not find_spec("nicegui"):
        raise Problem("the pages need NiceGUI: pip install 'sagemaker-kennel[ui]'")
    aws = Aws(region)
    shown = target.find(aws)
    # The framework is slow to import, so no other verb imports it.
    from scripts.ui import context, server

    context.use(aws, shown, bundle)
    server.serve(port, opens=not no_open)
