"""The `kennel` command."""

import json
from collections.abc import Callable
from importlib.metadata import version
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from scripts.aws.client import AwsProblem
from scripts.console import files, terminal
from scripts.problem import Problem
from scripts.verbs import data, emulator, ui
from scripts.verbs.account import costs, doctor, init, prices, setup
from scripts.verbs.hosting import deploy, endpoints, exporting, importing, predict
from scripts.verbs.images import build, push, register
from scripts.verbs.jobs import best, hyperparameters, jobs, launch, report, writeup
from train import metrics

# The verbs in the order of a job, as `kennel --help` lists them.
GROUPS: dict[str, tuple[str, ...]] = {
    "Set up": ("init", "setup", "doctor", "emulator", "data"),
    "Images": ("build", "push", "register"),
    "Train": ("hyperparameters", "metrics", "tune", "best", "train"),
    "Watch": ("jobs", "status", "logs", "stop", "report", "ui", "writeup"),
    "Serve": ("import", "export", "deploy", "predict", "endpoints", "down"),
    "Costs": ("costs", "prices"),
}


class Verbs(TyperGroup):
    """Prints problems of the user and of the machine's files without a traceback.

    Any other exception is a bug in Kennel.
    """

    def invoke(self, ctx: Any) -> Any:
        """Run the verb."""
        try:
            return super().invoke(ctx)
        except Problem as problem:
            terminal.note(f"kennel: {problem}")
            if ctx.params.get("verbose") and (original := _original(problem)):
                terminal.note(f"AWS's message: {original}")
            raise typer.Exit(1) from None
        except OSError as error:
            if (message := files.explained(error)) is None:
                raise
            terminal.note(f"kennel: {message}")
            raise typer.Exit(1) from None

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """List the verbs by group, each summary whole."""
        grouped = {name for names in GROUPS.values() for name in names}
        others = tuple(name for name in self.list_commands(ctx) if name not in grouped)
        for title, names in (*GROUPS.items(), ("Other", others)):
            summaries = [
                (name, verb.get_short_help_str(limit=200))
                for name in names
                if (verb := self.get_command(ctx, name))
            ]
            if summaries:
                with formatter.section(title):
                    formatter.write_dl(summaries)


app = typer.Typer(
    cls=Verbs,
    no_args_is_help=True,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _original(problem: BaseException | None) -> str:
    """AWS's own message, also where a verb replaced it with a better one."""
    while problem is not None:
        if isinstance(problem, AwsProblem) and problem.original:
            return problem.original
        problem = problem.__cause__ or problem.__context__
    return ""


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"kennel {version('sagemaker-kennel')}")
        raise typer.Exit


@app.callback()
def kennel(
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="print it")
    ] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", help="if AWS refuses a call, also print its own message")
    ] = False,
) -> None:
    """Bring-your-own-container image classification on Amazon SageMaker."""


@app.command("metrics")
def show_metrics() -> None:
    """Print the MetricDefinitions for CreateTrainingJob."""
    typer.echo(json.dumps(metrics.definitions(), indent=2))


VERBS: tuple[Callable[..., None], ...] = (
    hyperparameters.hyperparameters,
    init.init,
    setup.setup,
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
    writeup.writeup,
    ui.ui,
    exporting.export,
    deploy.deploy,
    predict.predict,
    endpoints.endpoints,
    endpoints.down,
    costs.costs,
    prices.prices,
)
for verb in VERBS:
    app.command()(verb)
app.command("import")(importing.import_)  # a name that Python keeps for itself
app.add_typer(data.app, name="data")
app.add_typer(emulator.app, name="emulator")


if __name__ == "__main__":
    app()
