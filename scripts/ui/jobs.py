"""The page Jobs: training, tuning and transform jobs, newest first, live."""

import re
from typing import Any

from nicegui import ui

from scripts.aws import prices
from scripts.requests.jobs import LABELS
from scripts.ui import context, frame, tables, words
from scripts.ui.summaries import Summaries, Summary

_SIZE = 25
_STATES = ("InProgress", "Completed", "Failed", "Stopping", "Stopped")
_COLUMNS = ("job", "kind", "state", "started", "time", "cost", "best metric", "value")
# What AWS accepts in NameContains.
_NAME = re.compile(r"[a-zA-Z0-9-]{0,63}")
_shared: list[Summaries] = []


def known() -> Summaries:
    """The summaries that all pages share."""
    if not _shared:
        _shared.append(Summaries(context.current().aws))
    return _shared[0]


@frame.page("/", "Jobs")
async def jobs() -> None:
    """Draw the list; ticked jobs can be compared."""
    page = _Jobs()
    page.draw()
    await page.refresh()
    ui.timer(context.current().poll_s, page.refresh, immediate=False)


class _Jobs:
    def __init__(self) -> None:
        self.number = 0
        self.contains = ""
        self.status: str | None = None
        self.kind: str | None = None
        self.ticked: list[str] = []

    def draw(self) -> None:
        with ui.element("div").classes("bar"):
            ui.input("Name contains", on_change=self.filter_name).props(
                "dense outlined clearable debounce=300"
            )
            _choice("Kind", list(LABELS.values()), self.filter_kind)
            _choice("State", list(_STATES), self.filter_state)
            self.compare = ui.button("Compare", on_click=self.open_comparison)
            self.compare.props("no-caps outline").set_enabled(False)
        self.problem = ui.label().classes("problem").props('role="alert"')
        self.problem.visible = False
        self.table = tables.show(
            "Jobs",
            _COLUMNS,
            numeric=("time", "cost", "value"),
            if_empty="no such job",
            on_tick=self.tick,
        )
        with ui.element("div").classes("bar"):
            self.newer = ui.button("Newer", on_click=lambda: self.turn(-1))
            self.page = ui.label("page 1")
            self.older = ui.button("Older", on_click=lambda: self.turn(1))
            for button in (self.newer, self.older):
                button.props("flat dense no-caps")
        ui.label(f"Costs: {prices.label()}.").classes("quiet")

    async def refresh(self) -> None:
        """Ask for the page again; a page that was left in the meantime is not drawn."""
        asked = (self.number, self.contains, self.status, self.kind)
        if not _NAME.fullmatch(self.contains):
            self.show_problem("a job's name has only letters, digits and hyphens")
            return
        found = await frame.quietly(
            known().page,
            self.number,
            _SIZE,
            self.contains or None,
            self.status,
            (self.kind,) if self.kind else (),
        )
        if asked != (self.number, self.contains, self.status, self.kind):
            return
        if isinstance(found, str):
            self.show_problem(found)
            return
        self.show_problem("")
        rows, more = found
        self.table.update([_row(one) for one in rows])
        self.page.text = f"page {self.number + 1}"
        self.newer.set_enabled(self.number > 0)
        self.older.set_enabled(more)

    def show_problem(self, text: str) -> None:
        self.problem.text = text
        self.problem.visible = bool(text)

    def tick(self, job: str, on: bool) -> None:
        name = job.partition(" ")[2]
        self.ticked = [one for one in self.ticked if one != name] + ([name] if on else [])
        self.table.element.tick([f"training {one}" for one in self.ticked])
        self.compare.set_enabled(len(self.ticked) > 1)
        self.compare.text = f"Compare {len(self.ticked)}" if self.ticked else "Compare"

    def open_comparison(self) -> None:
        ui.navigate.to(f"/compare?jobs={','.join(self.ticked)}")

    async def turn(self, pages: int) -> None:
        self.number = max(0, self.number + pages)
        await self.refresh()

    async def filter_name(self, event: Any) -> None:
        self.number, self.contains = 0, (event.value or "").strip()
        await self.refresh()

    async def filter_kind(self, event: Any) -> None:
        self.number, self.kind = 0, event.value
        await self.refresh()

    async def filter_state(self, event: Any) -> None:
        self.number, self.status = 0, event.value
        await self.refresh()


def _choice(label: str, values: list[str], on_change: Any) -> None:
    options = {None: "all"} | {one: one for one in values}
    ui.select(options, value=None, label=label, on_change=on_change).props(
        "dense outlined options-dense"
    ).style("min-width: 130px")


def _row(one: Summary) -> tables.Row:
    return tables.Row(
        key=f"{one.kind} {one.job}",
        tickable=one.kind == "training",
        cells=(
            words.job(one.job, one.kind),
            tables.Cell("sweep" if one.sweep else one.kind),
            words.state(one.status),
            words.when(one.started or one.created),
            words.duration(one.seconds),
            words.dollars(one.dollars),
            tables.Cell(one.metric),
            words.number(one.value),
        ),
    )
