"""`kennel emulator start|stop|status|clean`: SageMaker on this machine, instead of an account.

The emulator is a separate program: nothing of it is imported here.
"""

import subprocess
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from scripts.aws.emulator import STATE
from scripts.console import terminal

State = Annotated[Path, typer.Option(help="the folder for its data and log")]

# What `python -m emulator status` exits with.
_NOT_RUNNING = 3

app = typer.Typer(no_args_is_help=True, help="Run SageMaker on this machine, without an account.")


@app.command()
def start(
    state: State = STATE,
    port: Annotated[
        int | None,
        typer.Option(min=0, max=65535, help="on 127.0.0.1; default: a free port"),
    ] = None,
    engine: Annotated[
        Literal["auto", "process", "docker"] | None,
        typer.Option(help="what runs jobs; auto: Docker if it runs and has the image"),
    ] = None,
    jobs: Annotated[
        int | None,
        typer.Option(min=1, help="instances of jobs at once; default: what fits this machine"),
    ] = None,
) -> None:
    """Start it in the background, and print what to export.

    Use it as: eval "$(kennel emulator start)"
    """
    options = {"--port": port, "--engine": engine, "--jobs": jobs}
    arguments = [
        part for name, value in options.items() if value is not None for part in (name, str(value))
    ]
    _emulator("start", state, *arguments)


@app.command()
def stop(state: State = STATE) -> None:
    """Stop it and its jobs; the data stays in the folder."""
    _emulator("stop", state)


@app.command()
def status(state: State = STATE) -> None:
    """Print its address and the size of its data; exits with 3 if it does not run."""
    _emulator("status", state)


@app.command()
def clean(
    state: State = STATE,
    yes: Annotated[bool, typer.Option("--yes", help="delete; else print the size")] = False,
) -> None:
    """Delete the data of an emulator that was stopped: objects, models, records and logs."""
    _emulator("clean", state, *(["--yes"] if yes else []))


def _emulator(verb: str, state: Path, *options: str) -> None:
    command = [sys.executable, "-m", "emulator", verb, "--state", str(state), *options]
    done = subprocess.run(command, check=False)
    if verb == "status" and done.returncode == _NOT_RUNNING:
        terminal.note(f"looked in {state.absolute()}; --state names another folder")
    if done.returncode:
        raise typer.Exit(done.returncode)
