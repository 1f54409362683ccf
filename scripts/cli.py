"""The `kennel` command."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from typer.core import TyperGroup

from scripts.problem import Problem
from scripts.verbs import (
    best,
    build,
    data,
    doctor,
    emulator,
    endpoints,
    hosting,
    jobs,
    launch,
    prices,
    push,
    register,
    report,
)
from train import metrics
from train.config import ConfigError, TrainConfig, from_hyperparameters


class Verbs(TyperGroup):
    """Prints a `Problem` without a traceback; any other exception is a bug in Kennel."""

    def invoke(self, ctx: Any) -> Any:
        """Run the verb."""
        try:
            return super().invoke(ctx)
        except Problem as problem:
            typer.echo(f"kennel: {problem}", err=True)
            raise typer.Exit(1) from None


app = typer.Typer(cls=Verbs, no_args_is_help=True, add_completion=False, rich_markup_mode=None)


@app.callback()
def kennel() -> None:
    """Bring-your-own-container image classification on Amazon SageMaker."""


@app.command("metrics")
def show_metrics() -> None:
    """Print the MetricDefinitions for CreateTrainingJob."""
    typer.echo(json.dumps(metrics.definitions(), indent=2))


@app.command("hyperparameters")
def show_hyperparameters(
    check: Annotated[
        Path | None, typer.Option(help="a JSON file of hyperparameters to check instead")
    ] = None,
) -> None:
    """List all hyperparameters, or check a JSON file of them."""
    if check is None:
        table = Table("name", "default", "meaning", box=None, pad_edge=False)
        for name, default, meaning in hyperparameters():
            table.add_row(name, default, meaning)
        Console().print(table)
        return
    try:
        from_hyperparameters(json.loads(check.read_text()))
    except (OSError, ValueError, AttributeError) as error:
        message = error if isinstance(error, ConfigError) else f"{check}: {error}"
        typer.echo(str(message), err=True)
        raise typer.Exit(1) from None
    typer.echo(f"{check}: valid")


def hyperparameters() -> list[tuple[str, str, str]]:
    """Return name, default and meaning of each hyperparameter; the README's table is made of it."""
    return [
        (
            name,
            ""
            if field.default is None
            else str(field.default).lower()
            if isinstance(field.default, bool)
            else str(field.default),
            field.description or "",
        )
        for name, field in TrainConfig.model_fields.items()
    ]


VERBS: tuple[Callable[..., None], ...] = (
    doctor.doctor,
    build.build,
    push.push,
    register.register,
    launch.tune,
    best.best,
    launch.train,
    jobs.jobs,
    jobs.status,
    jobs.logs,
    jobs.stop,
    report.report,
    hosting.deploy,
    hosting.predict,
    endpoints.endpoints,
    endpoints.down,
    prices.prices,
)
for verb in VERBS:
    app.command()(verb)
app.add_typer(data.app, name="data")
app.add_typer(emulator.app, name="emulator")


if __name__ == "__main__":
    app()
