"""Runs what needs torch in a process of its own, which ends when this one is ended."""

import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from types import FrameType

import typer

from scripts.problem import Problem

_PATIENCE = 10.0  # seconds for a process that was asked to end


def run(module: str, options: dict[str, object], *arguments: str) -> None:
    """Run a module of ours with its output on this terminal.

    Args:
        module: has a `main`.
        options: by their names, with dashes; None is left out.
        arguments: the others.

    Raises:
        typer.Exit: it failed, and has said why.
        Problem: a signal ended it.
    """
    # `=`: a value can begin with a dash. `--`: so can a file's name.
    given = [f"{name}={value}" for name, value in options.items() if value is not None]
    code = _wait([sys.executable, "-m", module, *given, "--", *arguments])
    if code < 0:
        why = ", as the system does when the memory is full" if code == -signal.SIGKILL else ""
        raise Problem(f"the process was ended by signal {-code}{why}: nothing more was written")
    if code:
        raise typer.Exit(code)


def _wait(command: Sequence[str]) -> int:
    """Return the exit code; SIGTERM and SIGHUP are sent on."""
    child = subprocess.Popen(command)

    def send(number: int, _frame: FrameType | None) -> None:
        child.send_signal(number)

    numbers = [  # a program that runs under nohup goes on
        number
        for number in (signal.SIGTERM, signal.SIGHUP)
        if threading.current_thread() is threading.main_thread()
        and signal.getsignal(number) is not signal.SIG_IGN
    ]
    before = {number: signal.signal(number, send) for number in numbers}
    try:
        return child.wait()
    except KeyboardInterrupt:  # the terminal has sent it to the child too
        try:
            child.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
