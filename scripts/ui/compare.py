"""The page Compare: the curves of several training jobs over each other, and what differs."""

import re
from collections.abc import Mapping
from typing import Any

from nicegui import ui

from scripts.problem import Problem
from scripts.requests import jobs
from scripts.ui import charts, context, curves, frame, summaries, tables, words
from scripts.ui.job import facts, hyperparameters

_MOST = 12
# SageMaker's own limits for a name.
_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9-]{0,62}")
_Description = dict[str, Any]
_PLAIN = ("runs on", "image", "time", "role")


@frame.page("/compare", "Compare")
async def compare(jobs: str = "") -> None:
    """Draw the training jobs whose names are given, with commas between them."""
    page = _Comparison(jobs)
    page.draw()
    await page.refresh()
    page.timer = ui.timer(context.current().poll_s, page.refresh, immediate=False)


class _Comparison:
    def __init__(self, given: str) -> None:
        self.names = list(dict.fromkeys(name for name in given[:2_000].split(",") if name))
        self.charts: dict[str, charts.Shown] = {}
        self.timer: ui.timer | None = None
        self.table: tables.Shown | None = None

    def draw(self) -> None:
        self.problem = frame.Problems()
        self.place = ui.element("section").classes("charts").props('aria-label="Curves"')
        self.differences = ui.element("section")

    async def refresh(self) -> None:
        """Ask for the jobs again, until all have ended."""
        found = await frame.quietly(self.look)
        if isinstance(found, str):
            self.problem.show(found)
            return
        self.problem.show("")
        self.draw_curves({name: lines for name, (_, lines) in found.items()})
        rows = differences({name: about for name, (about, _) in found.items()})
        if self.table is None:
            with self.differences:
                frame.heading("What differs")
                self.table = tables.show(
                    "What differs between the jobs",
                    ("what", *self.names),
                    if_empty="nothing differs",
                )
        self.table.update(rows)
        ended = all(about["TrainingJobStatus"] in jobs.ENDED for about, _ in found.values())
        if ended and self.timer:
            self.timer.cancel()

    def look(self) -> dict[str, tuple[_Description, dict[str, list[tuple[float, float]]]]]:
        """Describe the jobs, and read what is new in their logs."""
        if not 1 < len(self.names) <= _MOST or not all(map(_NAME.fullmatch, self.names)):
            raise Problem(f"tick 2 to {_MOST} training jobs on the page Jobs")
        aws = context.current().aws
        found = {}
        for name in self.names:
            about = aws.send(jobs.describe(jobs.TRAINING, name))
            followed = curves.follow(aws, name)
            followed.update(ended=about["TrainingJobStatus"] in jobs.ENDED)
            found[name] = (about, followed.lines())
        return found

    def draw_curves(self, found: Mapping[str, Mapping[str, list[tuple[float, float]]]]) -> None:
        # One value at the end is no curve: it is in the table.
        metrics = dict.fromkeys(
            metric for lines in found.values() for metric in lines if not metric.startswith("test:")
        )
        for metric in metrics:
            series = {name: lines[metric] for name, lines in found.items() if metric in lines}
            if metric in self.charts:
                self.charts[metric].update(series)
            else:
                with self.place:
                    self.charts[metric] = charts.lines(metric, series)


def differences(abouts: Mapping[str, _Description]) -> list[tables.Row]:
    """A row for each fact or hyperparameter that is not the same in all jobs."""
    columns = []
    for about in abouts.values():
        plain = facts(jobs.TRAINING, about)
        column = {"state": about["TrainingJobStatus"]}
        column |= {name: plain[name] for name in _PLAIN if name in plain}
        column["cost"] = words.dollars(summaries.of_training(about).dollars).text
        column |= {row.key: row.cells[1].text for row in hyperparameters(about)}
        column |= {
            one["MetricName"]: words.number(one["Value"]).text
            for one in about.get("FinalMetricDataList") or ()
        }
        columns.append(column)
    names = dict.fromkeys(name for column in columns for name in column)
    rows = []
    for name in names:
        texts = [column.get(name, "") for column in columns]
        if len(set(texts)) > 1:
            cells = [words.state(one) if name == "state" else tables.Cell(one) for one in texts]
            rows.append(tables.Row(name, (tables.Cell(name), *cells)))
    return rows
