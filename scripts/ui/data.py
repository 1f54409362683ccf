"""The page "Data": what `kennel data check` finds in a folder, with samples, tables and a chart."""

import tempfile
import threading
from pathlib import Path
from typing import Any

from nicegui import ui

from scripts.ui import context, frame
from scripts.ui.photos import fetching, findings
from scripts.ui.photos.check import Check


@frame.page("/data", "Data")
async def data() -> None:
    """Draw the page."""
    _Page().draw()


class _Page:
    """What one tab shows: one check at a time, which ends when the tab is closed."""

    def __init__(self) -> None:
        self.check: Check | None = None
        self.stop = threading.Event()
        self.fetched = (0, 0)
        ui.context.client.on_delete(self.cancel)

    def draw(self) -> None:
        ui.label(
            "What kennel data check finds: a training job would see the same. "
            "Nothing leaves this machine."
        ).classes("quiet")
        self.problem = frame.Problems()
        with ui.element("div").classes("bar above"):
            self.folder = self.field("Folder of photos, or an archive of it")
            self.spec = self.field("Experiment (TOML), for its hyperparameters and data")
        with ui.element("details").classes("above"):
            summary = ui.element("summary")
            with summary:
                ui.label("Folders of their own for valid and test").style("display: inline")
            with ui.element("div").classes("bar above"):
                self.valid = self.field("Folder of valid")
                self.test = self.field("Folder of test")
        with ui.element("div").classes("bar"):
            self.button = ui.button("Check", on_click=self.start).props("no-caps outline")
            self.end = ui.button("Cancel", on_click=self.cancel).props(
                "no-caps flat color=negative"
            )
            self.said = ui.label().props('role="status"')
        self.bar = ui.element("progress").props('aria-label="Pictures checked"').classes("progress")
        self.place = ui.element("div")
        self.show()
        ui.timer(0.3, self.show, immediate=False)

    def field(self, label: str) -> ui.input:
        """A field for a path."""
        drawn = ui.input(label).props("outlined dense").classes("wide mono")
        return drawn.on("keydown.enter", self.start)

    async def start(self) -> None:
        """Check what is given; only one check runs at a time."""
        if self.check:
            return
        folder, file = _text(self.folder), _text(self.spec)
        self.problem.show("")
        self.place.clear()
        if not folder and not file:
            self.problem.show("give a folder of photos, or an experiment whose photos are in S3")
            return
        parts = {"valid": _text(self.valid), "test": _text(self.test)}
        given = {name: path for name, path in parts.items() if path}
        if folder:
            channels = {"train": folder, **given} if given else {"data": folder}
            await self.run(Check(channels, file))
            return
        with tempfile.TemporaryDirectory(prefix="kennel-data-") as temporary:
            copied = await self.copy(Path(file).expanduser(), Path(temporary))
            if copied:
                await self.run(Check(copied, file))

    async def copy(self, file: Path, into: Path) -> dict[str, str]:
        """Copy an experiment's photos from S3; empty if that is not wanted, or fails."""
        aws = context.current().aws
        objects = await frame.quietly(fetching.find, aws, file)
        if isinstance(objects, str):
            self.problem.show(objects)
            return {}
        size = f"{len(objects):,} objects, {findings.size(sum(one.size for one in objects))}"
        with self.place:
            agreed = await frame.confirm(
                f"Copy the photos from S3 into a temporary folder for the check: {size}?",
                "Copy them",
            )
        if not agreed:
            return {}
        self.stop.clear()

        def progress(done: int) -> None:
            self.fetched = (done, len(objects))

        copied = await frame.quietly(fetching.copy, aws, objects, into, self.stop, progress)
        self.fetched = (0, 0)
        if isinstance(copied, str):
            self.problem.show(copied)
            return {}
        return {} if self.stop.is_set() else copied

    async def run(self, check: Check) -> None:
        """Run a check, and draw what it found."""
        self.check = check
        self.show()
        try:
            found = await frame.quietly(_run, check)
        finally:
            self.check = None
        if isinstance(found, str):
            self.problem.show(found)
        elif found == {}:
            self.said.text = "cancelled"
        else:
            self.said.text = ""
            with self.place:
                findings.draw(found)
        self.show()

    def cancel(self) -> None:
        """End the check."""
        self.stop.set()
        if self.check:
            self.check.cancel()

    def show(self) -> None:
        """Show how far the check is."""
        done, of = self.fetched
        what = "objects copied"
        if self.check:
            done, of, what = self.check.done, self.check.of, "pictures checked"
        works = bool(self.check or of)
        self.button.set_enabled(not works)
        self.end.visible = self.bar.visible = works
        if works:
            self.said.text = f"{done:,} of {of:,} {what}" if of else "reading the folder"
            self.bar.props(f'value="{done}" max="{max(1, of)}"')


def _text(field: ui.input) -> str:
    return (field.value or "").strip()


def _run(check: Check) -> dict[str, Any]:
    return check.run() or {}
