"""Runs the `kennel` command inside the test's process, as the console script would."""

from dataclasses import dataclass

from typer.testing import CliRunner

from scripts.cli import app


@dataclass(frozen=True)
class Outcome:
    code: int
    out: str
    err: str


def kennel(*arguments: str) -> Outcome:
    """Run a verb; an exception that is no `Problem` is the test's to see."""
    result = CliRunner().invoke(app, arguments)
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return Outcome(result.exit_code, result.stdout, result.stderr)
