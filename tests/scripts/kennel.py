"""Runs the `kennel` command in the test's process."""

from dataclasses import dataclass

from typer.testing import CliRunner

from scripts.cli import app


@dataclass(frozen=True)
class Outcome:
    code: int
    out: str
    err: str


def kennel(*arguments: str) -> Outcome:
    """Run a verb; exceptions other than `Problem` reach the test."""
    result = CliRunner().invoke(app, arguments)
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return Outcome(result.exit_code, result.stdout, result.stderr)
