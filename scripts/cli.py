"""The `kennel` command."""

import json
from collections.abc import Callable
from typing import Any

import typer
from typer.core import TyperGroup

from scripts.console import terminal
from scripts.problem import Problem
from scripts.verbs import (
    best,
    build,
    data,
    doctor,
    emulator,
    endpoints,
    hosting,
    hyperparameters,
    jobs,
    launch,
    prices,
    push,
    register,
    report,
)
from train import metrics


class Verbs(TyperGroup):
    """Prints a `Problem` without a traceback; any other exception is a bug in Kennel."""

    def invoke(self, ctx: Any) -> Any:
        """Run the verb."""
        try:
            return super().invoke(ctx)
        except Problem as problem:
            terminal.note(f"kennel: {problem}")
            raise typer.Exit(1) from None


app = typer.Typer(cls=Verbs, no_args_is_help=True, add_completion=False, rich_markup_mode=None)


@app.callback()
def kennel() -> None:
    """Bring-your-own-container image classification on Amazon SageMaker."""


@app.command("metrics")
def show_metrics() -> None:
    """Print the MetricDefinitions for CreateTrainingJob."""
    typer.echo(json.dumps(metrics.definitions(), indent=2))


VERBS: tuple[Callable[..., None], ...] = (
    hyperparameters.hyperparameters,
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
