"""`kennel emulator start|stop|status`: SageMaker on this machine, in place of an account.

The emulator is a program of its own, and is started as one: nothing of it is imported here.
"""

import subprocess
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

State = Annotated[Path, typer.Option(help="where it keeps jobs, objects and its log")]
_STATE = Path("run/emulator")

app = typer.Typer(no_args_is_help=True, help="SageMaker on this machine, without an account.")


@app.command()
def start(
    state: State = _STATE,
    port: Annotated[int | None, typer.Option(help="on loopback; a free one unless given")] = None,
    engine: Annotated[
        Literal["auto", "process", "docker"] | None,
        typer.Option(help="what runs jobs; auto: Docker where it answers and has the image"),
    ] = None,
) -> None:
    """Start it in the background; prints what to export: eval "$(kennel emulator start)"."""
    options = {"--port": port, "--engine": engine}
    words = [
        part for name, value in options.items() if value is not None for part in (name, str(value))
    ]
    _emulator("start", state, *words)


@app.command()
def stop(state: State = _STATE) -> None:
    """Stop it and all that it runs; what it holds stays in the folder."""
    _emulator("stop", state)


@app.command()
def status(state: State = _STATE) -> None:
    """Tell whether it runs and where; 3 if it does not."""
    _emulator("status", state)


def _emulator(verb: str, state: Path, *options: str) -> None:
    command = [sys.executable, "-m", "emulator", verb, "--state", str(state), *options]
    done = subprocess.run(command, check=False)
    if done.returncode:
        raise typer.Exit(done.returncode)
