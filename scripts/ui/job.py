"""The page of a training or transform job: states, curves, log, hyperparameters, report, stop."""

import json
from collections.abc import Mapping
from typing import Any

from nicegui import ui

from scripts.aws import listing, prices, recreated
from scripts.console.hints import hint
from scripts.requests import jobs
from scripts.ui import again, charts, context, curves, frame, report, summaries, tables, words

_Description = dict[str, Any]


@frame.page("/jobs/{name}", "Job")
async def job(name: str) -> None:
    """Draw the page of the job called `name`."""
    frame.title(name)
    found = await frame.ask(listing.find, context.current().aws, name)
    if not found:
        return
    kind, about = found
    if kind == jobs.TUNING:
        ui.navigate.to(words.address(name, "tuning"))
        return
    page = _Job(name, kind)
    page.draw(about)
    await page.refresh()
    page.timer = ui.timer(context.current().poll_s, page.refresh, immediate=False)


class _Job:
    def __init__(self, name: str, kind: jobs.Kind) -> None:
        self.name = name
        self.kind = kind
        self.is_training = kind == jobs.TRAINING
        self.timer: ui.timer | None = None
        self.charts: dict[str, charts.Shown] = {}

    def draw(self, about: _Description) -> None:
        with ui.element("div").classes("bar"):
            self.state = ui.label().props('role="status"')
            self.stop = ui.button("Stop", on_click=self.ask_to_stop).props("no-caps outline")
        self.problem = frame.Problems()
        if self.is_training:
            self.curves = ui.element("section").classes("charts").props('aria-label="Curves"')
            self.no_curves = ui.label("no metric yet: it comes from the log").classes("quiet")
        with ui.element("div").classes("charts"):
            with ui.element("section").classes("card"):
                frame.heading("Job")
                self.facts = frame.Facts()
            with ui.element("section"):
                frame.heading("States")
                self.states = tables.show(
                    f"States of {self.name}",
                    ("state", "started", "time", "message"),
                    numeric=("time",),
                    if_empty="none yet",
                )
        if not self.is_training:
            return
        frame.heading("Hyperparameters")
        tables.show(
            f"Hyperparameters of {self.name}",
            ("name", "value"),
            hyperparameters(about),
            if_empty="the job has none",
        )
        frame.heading("Log")
        with ui.element("pre").classes("log card") as log:
            log.props('tabindex="0" role="region" aria-label="The last lines of the log"')
            self.log = ui.label()
        report.section(self.name)
        again.section(about)

    async def refresh(self) -> None:
        """Ask for the job again; the last time after its end."""
        found = await frame.quietly(self.look)
        if isinstance(found, str):
            self.problem.show(found)
            return
        self.problem.show("")
        about, followed = found
        state = about[f"{self.kind}Status"]
        self.state.text = state
        self.state.classes(replace=f"state {words.tone(state)}")
        self.stop.visible = state == "InProgress"
        self.facts.show(facts(self.kind, about))
        self.states.update(_states(about))
        if followed:
            self.draw_curves(followed.lines())
            text = "\n".join(followed.tail) or "no line yet"
            if text != self.log.text:
                self.log.text = text
        if state in jobs.ENDED and self.timer:
            self.timer.cancel()

    def look(self) -> tuple[_Description, curves.Followed | None]:
        """Describe the job, and read what is new in its log."""
        aws = context.current().aws
        about = aws.send(jobs.describe(self.kind, self.name))
        if not self.is_training:
            return about, None
        followed = curves.follow(aws, self.name)
        followed.update(ended=about["TrainingJobStatus"] in jobs.ENDED)
        return about, followed

    def draw_curves(self, lines: Mapping[str, charts.Points]) -> None:
        groups: dict[str, dict[str, charts.Points]] = {}
        for name, points in lines.items():
            groups.setdefault(curves.kind(name), {})[name] = points
        self.no_curves.visible = not groups
        for title, series in groups.items():
            if title in self.charts:
                self.charts[title].update(series)
            else:
                with self.curves:
                    self.charts[title] = charts.lines(title, series)

    async def ask_to_stop(self) -> None:
        """Stop the job if the user confirms it."""
        text = f"Stop {self.name}?"
        if self.is_training:
            text += " It has two minutes to save its best model and a checkpoint."
        if not await frame.confirm(text, "Stop the job"):
            return
        found = await frame.quietly(context.current().aws.send, jobs.stop(self.kind, self.name))
        if isinstance(found, str):
            self.problem.show(found)
        else:
            await self.refresh()


def hyperparameters(about: _Description) -> list[tables.Row]:
    """A row for each hyperparameter, secrets masked."""
    given = recreated.hyperparameters(about.get("HyperParameters") or {})
    return [
        tables.Row(name, (tables.Cell(name), tables.Cell(written(value))))
        for name, value in sorted(given.items())
    ]


def written(value: object) -> str:
    """A hyperparameter as an experiment has it; text without quotes."""
    return value if isinstance(value, str) else json.dumps(value)


def facts(kind: jobs.Kind, about: _Description) -> dict[str, str]:
    """What the job runs on, how long it took and what it cost."""
    if kind == jobs.TRANSFORM:
        return _transform_facts(about)
    resources = about["ResourceConfig"]
    machines = f"{resources.get('InstanceCount', 1)} x {resources.get('InstanceType', '?')}"
    if about.get("EnableManagedSpotTraining"):
        machines += ", spot"
    ended = about["TrainingJobStatus"] in jobs.ENDED
    summary = summaries.of_training(about)
    found = {
        "runs on": machines,
        "image": about.get("AlgorithmSpecification", {}).get("TrainingImage", ""),
        "role": about.get("RoleArn", ""),
        "created": words.when(about["CreationTime"]).text,
        "time": words.duration(summary.seconds).text,
        "cost": prices.after_training(about)
        if ended
        else f"{words.dollars(summary.dollars).text} so far ({prices.label()})",
        "tuning job": str(about.get("TuningJobArn", "")).rpartition("/")[2],
        "bundle": about.get("ModelArtifacts", {}).get("S3ModelArtifacts", "") if ended else "",
        "results": ", ".join(
            f"{one['MetricName']} {words.number(one['Value']).text}"
            for one in about.get("FinalMetricDataList") or ()
        ),
    }
    return {name: text for name, text in found.items() if text} | _failure(about)


def _transform_facts(about: _Description) -> dict[str, str]:
    resources = about["TransformResources"]
    source = about.get("TransformInput", {}).get("DataSource", {}).get("S3DataSource", {})
    found = {
        "runs on": f"{resources['InstanceCount']} x {resources['InstanceType']}",
        "model": about.get("ModelName", ""),
        "created": words.when(about["CreationTime"]).text,
        "input": source.get("S3Uri", ""),
        "output": about.get("TransformOutput", {}).get("S3OutputPath", ""),
    }
    return {name: text for name, text in found.items() if text} | _failure(about)


def _failure(about: _Description) -> dict[str, str]:
    reason = about.get("FailureReason")
    if not reason:
        return {}
    advice = hint(reason)
    return {"reason": reason} | ({"hint": advice} if advice else {})


def _states(about: _Description) -> list[tables.Row]:
    rows = []
    for number, one in enumerate(about.get("SecondaryStatusTransitions") or ()):
        end = one.get("EndTime")
        seconds = (end - one["StartTime"]).total_seconds() if end else None
        cells = (
            words.state(one["Status"]),
            tables.Cell(one["StartTime"].astimezone().strftime("%H:%M:%S")),
            words.duration(seconds),
            tables.Cell(one.get("StatusMessage") or ""),
        )
        rows.append(tables.Row(str(number), cells))
    return rows
