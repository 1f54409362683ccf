"""`kennel`, the command: what an engineer asks of Kennel before, during and after a job."""

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
    """Ends a verb that raised a `Problem` with its message; anything else is a defect of ours."""

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
    """Print the MetricDefinitions of a training job, as JSON for CreateTrainingJob."""
    typer.echo(json.dumps(metrics.definitions(), indent=2))


@app.command("hyperparameters")
def show_hyperparameters(
    check: Annotated[
        Path | None, typer.Option(help="check a JSON file of hyperparameters instead")
    ] = None,
) -> None:
    """List every hyperparameter with its default and meaning, or check a file of them."""
    if check is None:
        table = Table("name", "default", "meaning", box=None, pad_edge=False)
        for name, default, meaning in hyperparameters():
            table.add_row(name, default, meaning)
        Console().print(table)
        return
    try:
        from_hyperparameters(json.loads(check.read_text()))
    except (OSError, ValueError, AttributeError) as error:
        what = error if isinstance(error, ConfigError) else f"{check}: {error}"
        typer.echo(str(what), err=True)
        raise typer.Exit(1) from None
    typer.echo(f"{check}: good")


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
