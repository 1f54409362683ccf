"""The pages of tuning jobs and sweeps: their trials as a table and as charts, and the best one."""

from dataclasses import dataclass
from typing import Any

from nicegui import ui

from scripts.aws import listing, sweeps, trials
from scripts.problem import Problem
from scripts.requests import jobs
from scripts.ui import charts, context, frame, summaries, tables, words
from scripts.ui.job import written
from scripts.ui.jobs import known
from train.metrics import OBJECTIVE

_Description = dict[str, Any]
_LISTED = 100


@dataclass(frozen=True)
class _Search:
    """A tuning job or a sweep: its trials, best first."""

    name: str
    status: str
    objective: str
    minimize: bool
    tried: list[trials.Trial]
    is_sweep: bool

    @property
    def best(self) -> trials.Trial | None:
        first = self.tried[0] if self.tried else None
        return first if first and first.value is not None else None

    @property
    def names(self) -> list[str]:
        """The hyperparameters that were tried."""
        return list(dict.fromkeys(name for one in self.tried for name in one.hyperparameters))

    @property
    def command(self) -> str:
        """What uses the best trial."""
        if self.is_sweep:
            return f"kennel deploy SPEC --job {self.name}"
        return f"kennel train SPEC --from-tuning {self.name}"


@frame.page("/tuning", "Tuning")
async def tuning() -> None:
    """Draw the list of tuning jobs, then the list of sweeps."""
    columns = ("job", "state", "started", "time", "cost", "best metric", "value")
    numbers = ("time", "cost", "value")
    frame.heading("Tuning jobs")
    tuned = tables.show("Tuning jobs", columns, numeric=numbers, if_empty="no tuning job")
    frame.heading("Sweeps")
    ui.label("Training jobs that train a whole grid, among the newest 100.").classes("quiet")
    swept = tables.show("Sweeps", columns, numeric=numbers, if_empty="no sweep")
    problem = frame.Problems()

    async def refresh() -> None:
        for kind, table in (("tuning", tuned), ("training", swept)):
            found = await frame.quietly(known().page, 0, _LISTED, None, None, (kind,))
            if isinstance(found, str):
                problem.show(found)
                return
            problem.show("")
            wanted = [one for one in found[0] if kind == "tuning" or one.sweep]
            table.update([_listed(one) for one in wanted])

    await refresh()
    ui.timer(context.current().poll_s * 2, refresh, immediate=False)


@frame.page("/tuning/{name}", "Tuning job")
async def search(name: str) -> None:
    """Draw a tuning job or a sweep."""
    frame.title(name)
    status = ui.label().props('role="status"')
    problem = frame.Problems()
    place = ui.element("div")
    shown: list[_Search] = []

    async def refresh() -> None:
        found = await frame.quietly(_find, name)
        if isinstance(found, str):
            problem.show(found)
            return
        problem.show("")
        status.text = found.status
        status.classes(replace=f"state {words.tone(found.status)}")
        if shown != [found]:
            shown[:] = [found]
            place.clear()
            with place:
                _draw(found)
        if found.status in jobs.ENDED:
            timer.cancel()

    timer = ui.timer(context.current().poll_s * 2, refresh, immediate=False)
    await refresh()


def _find(name: str) -> _Search:
    """Return the trials of a tuning job or a sweep.

    Raises:
        Problem: the job is neither.
    """
    aws = context.current().aws
    kind, about = listing.find(aws, name)
    if kind == jobs.TUNING:
        objective = about["HyperParameterTuningJobConfig"].get(
            "HyperParameterTuningJobObjective", {}
        )
        minimize = objective.get("Type") == "Minimize"
        return _Search(
            name=name,
            status=about["HyperParameterTuningJobStatus"],
            objective=objective.get("MetricName", OBJECTIVE.name),
            minimize=minimize,
            tried=trials.ranked(trials.fetch(aws, name), minimize=minimize),
            is_sweep=False,
        )
    if kind == jobs.TRAINING and (about.get("HyperParameters") or {}).get("sweep"):
        swept = [sweeps.as_trial(one) for one in sweeps.fetch(aws, name)]
        status = about["TrainingJobStatus"]
        return _Search(name, status, OBJECTIVE.name, False, swept, is_sweep=True)
    raise Problem(f"{name} is neither a tuning job nor a sweep: it is on the page Jobs")


def _draw(found: _Search) -> None:
    if best := found.best:
        with ui.element("section").classes("card"):
            frame.heading("Best trial")
            facts = {found.objective: words.number(best.value).text, "trial": best.job}
            frame.Facts().show(facts | {k: written(v) for k, v in best.hyperparameters.items()})
            frame.copyable(found.command)
    frame.heading("Trials")
    tables.show(
        f"Trials of {found.name}",
        (found.objective, *found.names, "state", "time", "job"),
        [_trial(one, found) for one in found.tried],
        numeric=(found.objective, "time"),
        if_empty="no trial yet",
    )
    valued = [one for one in found.tried if one.value is not None]
    if not valued:
        return
    frame.heading("Metric over each hyperparameter")
    with ui.element("section").classes("charts"):
        for name in found.names:
            some = [one for one in valued if name in one.hyperparameters]
            values = [_value(one.hyperparameters[name]) for one in some]
            charts.points(
                f"{found.objective} over {name}",
                [
                    (value, one.value or 0.0, one is found.best)
                    for value, one in zip(values, some, strict=True)
                ],
                x=name,
                y=found.objective,
                log=charts.is_wide(values),
            )
    complete = [one for one in valued if all(name in one.hyperparameters for name in found.names)]
    if found.names and complete:
        charts.parallel(
            f"All hyperparameters and {found.objective}",
            [*found.names, found.objective],
            [
                (
                    [*(_value(one.hyperparameters[name]) for name in found.names), one.value or 0],
                    one is found.best,
                )
                for one in complete
            ],
        )


def _value(value: object) -> float | str:
    """Return a number for an axis of numbers, and words for all else."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number else written(value)  # type: ignore[arg-type]


def _trial(one: trials.Trial, found: _Search) -> tables.Row:
    is_best = one is found.best
    values = [one.hyperparameters.get(name) for name in found.names]
    text = words.number(one.value)
    return tables.Row(
        key=one.job,
        marked=is_best,
        cells=(
            tables.Cell(f"★ best {text.text}", text.value) if is_best else text,
            *(
                tables.Cell("") if value is None else tables.Cell(written(value), _value(value))
                for value in values
            ),
            words.state(one.status),
            words.duration(one.seconds),
            tables.Cell(one.job) if found.is_sweep else words.job(one.job),
        ),
    )


def _listed(one: summaries.Summary) -> tables.Row:
    return tables.Row(
        key=one.job,
        cells=(
            words.job(one.job, "tuning"),
            words.state(one.status),
            words.when(one.started or one.created),
            words.duration(one.seconds),
            words.dollars(one.dollars),
            tables.Cell(one.metric),
            words.number(one.value),
        ),
    )
