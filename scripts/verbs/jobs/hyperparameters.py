"""`kennel hyperparameters`: list them, check a file of them, or write docs/hyperparameters.md."""

import json
import textwrap
from pathlib import Path
from typing import Annotated

import typer

from scripts.console import terminal
from scripts.problem import Problem
from scripts.verbs import options
from train.config import ALIASES, ConfigError, TrainConfig, from_hyperparameters

_PAGE = """\
# Hyperparameters

SageMaker passes hyperparameters as strings, and the job reports all errors at once. An experiment
has them under `[hyperparameters]`, as numbers, booleans and strings. A name can have `-` instead of
`_`. `kennel hyperparameters --check FILE` checks a file. Other names that work:
{aliases}.

This page is generated: `kennel hyperparameters --markdown > docs/hyperparameters.md`.

| name | default | meaning |
|---|---|---|
{rows}
"""


def hyperparameters(
    check: Annotated[
        Path | None,
        typer.Option(help="check a file instead: a JSON object, or an experiment's TOML file"),
    ] = None,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="print the page docs/hyperparameters.md")
    ] = False,
    as_json: options.AsJson = False,
) -> None:
    """List all hyperparameters, or check a file of them."""
    if as_json and not check:
        rows = [dict(zip(("name", "default", "meaning"), row, strict=True)) for row in _rows()]
        terminal.as_json(rows)
    elif check:
        _check(check)
    elif markdown:
        terminal.result(page().rstrip())
    else:
        terminal.table(["name", "default", "meaning"], _rows(), if_empty="")


def page() -> str:
    """Return the text of docs/hyperparameters.md."""
    rows = [
        f"| `{name}` | {f'`{default}`' if default else 'unset'} | {meaning} |"
        for name, default, meaning in _rows()
    ]
    aliases = ", ".join(f"`{alias}` (`{name}`)" for alias, name in ALIASES.items())
    return _PAGE.format(aliases=textwrap.fill(aliases, 100), rows="\n".join(rows))


def _rows() -> list[tuple[str, str, str]]:
    """Name, default and meaning of each hyperparameter."""
    return [
        (name, _text(field.default), field.description or "")
        for name, field in TrainConfig.model_fields.items()
    ]


def _text(default: object) -> str:
    if default is None:
        return ""
    return str(default).lower() if isinstance(default, bool) else str(default)


def _check(file: Path) -> None:
    """Check a file with the code that checks them in a job.

    Raises:
        Problem: the file cannot be read, or a value is wrong.
    """
    if file.suffix == ".toml":
        options.experiment(file, None)  # checks its [hyperparameters], and each trial's
        terminal.result(f"{file}: valid")
        return
    try:
        content = json.loads(file.read_text("utf-8-sig"))
    except OSError as error:
        raise Problem(f"{file}: {error.strerror}") from None
    except ValueError as error:
        raise Problem(f"{file} is not JSON: {error}") from None
    if not isinstance(content, dict):
        raise Problem(f'{file}: write a JSON object, such as {{"epochs": "5"}}')
    try:
        from_hyperparameters(content)
    except ConfigError as error:
        raise Problem(f"{file}: {error}") from None
    terminal.result(f"{file}: valid")
