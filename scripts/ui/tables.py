"""Tables of text with sortable columns, rows to tick, and a button that saves them as CSV."""

import csv
import io
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from nicegui import ui

from pictures.text import cell as as_cell
from scripts.console.safe import without_escapes


@dataclass(frozen=True)
class Cell:
    """What a cell shows, the value it is sorted by, and a page that it leads to.

    `tone` is good, bad, busy or quiet, and colours the text; `action` makes it a button.
    """

    text: str
    value: float | str | None = None
    href: str = ""
    tone: str = ""
    action: bool = False

    def written(self) -> str | float:
        """What a CSV file has: numbers with all digits, text that is no formula."""
        return self.value if isinstance(self.value, int | float) else as_cell(self.text)


@dataclass(frozen=True)
class Row:
    """The cells of a row; `key` is its name, unique in the table."""

    key: str
    cells: Sequence[Cell]
    marked: bool = False
    tickable: bool = True


@dataclass
class Shown:
    """A table on a page."""

    element: "_Table"
    columns: list[str]
    empty: ui.label
    saving: ui.element
    rows: list[Row] = field(default_factory=list)

    def update(self, rows: Sequence[Row]) -> None:
        """Show these rows instead; nothing is sent if they are the same."""
        if list(rows) == self.rows and rows:
            return
        self.rows = list(rows)
        self.element.show(self.rows)
        self.empty.visible = not rows
        self.element.visible = self.saving.visible = bool(rows)

    def csv(self) -> str:
        """The table as CSV; no cell is a formula for a spreadsheet."""
        text = io.StringIO(newline="")
        lines = csv.writer(text)
        lines.writerow(map(as_cell, self.columns))
        lines.writerows([one.written() for one in row.cells] for row in self.rows)
        return text.getvalue()


class _Table(ui.element, component="table.js"):
    def __init__(
        self,
        columns: list[dict[str, Any]],
        caption: str,
        on_tick: Callable[[str, bool], None] | None,
        sort: tuple[int, bool] | None,
        on_act: Callable[[str], Awaitable[None]] | None,
    ) -> None:
        super().__init__()
        self._props["columns"] = columns
        self._props["caption"] = caption
        self._props["rows"] = []
        self._props["ticked"] = []
        self._props["selectable"] = on_tick is not None
        if sort:
            self._props["sorted"] = {"by": sort[0], "down": sort[1]}
        if on_tick:
            self.on("tick", lambda event: on_tick(str(event.args["key"]), bool(event.args["on"])))

        if on_act:
            self.on("act", lambda event: on_act(str(event.args["key"])))

    def show(self, rows: Sequence[Row]) -> None:
        self._props["rows"] = [
            {
                "key": row.key,
                "marked": row.marked,
                "tickable": row.tickable,
                "cells": [
                    {
                        "text": without_escapes(one.text),
                        "value": one.value,
                        "href": one.href,
                        "tone": one.tone,
                        "action": one.action,
                    }
                    for one in row.cells
                ],
            }
            for row in rows
        ]
        self.update()

    def tick(self, keys: Sequence[str]) -> None:
        self._props["ticked"] = list(keys)
        self.update()


def show(
    caption: str,
    columns: Sequence[str],
    rows: Sequence[Row] = (),
    *,
    numeric: Sequence[str] = (),
    if_empty: str,
    on_tick: Callable[[str, bool], None] | None = None,
    sort: tuple[int, bool] | None = None,
    on_act: Callable[[str], Awaitable[None]] | None = None,
) -> Shown:
    """Draw a table with a button that saves it as CSV.

    Args:
        caption: what the table shows, for screen readers and the file's name.
        columns: their titles.
        rows: the first rows; `Shown.update` replaces them.
        numeric: the titles of the columns with numbers, set to the right.
        if_empty: the text that stands in place of a table without rows.
        on_tick: called with a row's key and whether it is ticked; None: no boxes to tick.
        sort: the column that the table is sorted by first, and whether downwards.
        on_act: called with a row's key when the button in one of its cells is pressed.
    """
    described = [{"title": without_escapes(one), "numeric": one in numeric} for one in columns]
    with ui.element("div").classes("table"):
        element = _Table(described, caption, on_tick, sort, on_act)
        empty = ui.label(if_empty).classes("quiet")
        saving = ui.element("div").classes("saving")
        shown = Shown(element, list(columns), empty, saving)
        element.visible = saving.visible = False
        with saving:
            ui.button(
                "CSV", icon="download", on_click=lambda: save_csv(caption, shown.csv())
            ).props(f'flat dense no-caps aria-label="Save as CSV: {_plain(caption)}"')
    if rows:
        shown.update(rows)
    return shown


def save_csv(caption: str, text: str) -> None:
    """Save text as a CSV file in the browser."""
    ui.download.content(text, f"{file_name(caption)}.csv", "text/csv")


def file_name(caption: str) -> str:
    """A file's name from words; no part of it is a path."""
    return re.sub(r"[^a-zA-Z0-9]+", "-", caption).strip("-")[:80] or "kennel"


def _plain(caption: str) -> str:
    """Words without what ends an attribute."""
    return re.sub(r"[^\w :,.()-]", " ", caption)
