"""`kennel hyperparameters`: list them, check a file of them, or write docs/hyperparameters.md."""

import json
import textwrap
from pathlib import Path
from typing import Annotated

import typer

from scripts.console import terminal
from scripts.problem import Problem
from train.config import ALIASES, ConfigError, TrainConfig, from_hyperparameters

_PAGE = """\
# Hyperparameters

SageMaker passes hyperparameters as strings, and the job reports all errors at once. An experiment
has them under `[hyperparameters]`, as numbers, booleans and strings. A name can have `-` instead of
`_`. `kennel hyperparameters --check FILE` checks a JSON file. Other names that work:
{aliases}.

This page is generated: `kennel hyperparameters --markdown > docs/hyperparameters.md`.

| name | default | meaning |
|---|---|---|
{rows}
"""


def hyperparameters(
    check: Annotated[
        Path | None, typer.Option(help="a JSON file of hyperparameters to check instead")
    ] = None,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="print the page docs/hyperparameters.md")
    ] = False,
) -> None:
    """List all hyperparameters, or check a JSON file of them."""
    if check:
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
    try:
        from_hyperparameters(json.loads(file.read_text()))
    except ConfigError as error:
        raise Problem(str(error)) from None
    except (OSError, ValueError, AttributeError) as error:
        raise Problem(f"{file}: {error}") from None
    terminal.result(f"{file}: valid")
