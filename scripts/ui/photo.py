"""The page "Try a photo": photos answered by an endpoint or by a bundle on this machine."""

import atexit
import secrets
from pathlib import Path

from nicegui import ui

from scripts.aws.client import Aws
from scripts.requests import endpoints
from scripts.ui import context, frame, tables
from scripts.ui.photos import album, bundle, drop, sheet
from scripts.ui.photos.album import Album
from scripts.ui.photos.answering import Target, Work

_BUNDLE = "a bundle on this machine"
_MOST_ENDPOINTS = 200

ui.add_css((Path(__file__).parent / "photos" / "photos.css").read_text(), shared=True)
atexit.register(bundle.close)


@frame.page("/photo", "Try a photo")
async def photo() -> None:
    """Draw the page."""
    page = _Page()
    page.draw()
    await page.look()


class _Page:
    """What one tab shows; its album is deleted when the tab is closed."""

    def __init__(self) -> None:
        self.key = secrets.token_urlsafe(12)
        self.work: Work | None = None
        drop.albums[self.key] = Album()
        ui.context.client.on_delete(self.close)

    @property
    def album(self) -> Album:
        return drop.albums[self.key]

    def close(self) -> None:
        if self.work:
            self.work.stop()
        drop.albums.pop(self.key).close()

    def draw(self) -> None:
        ui.label(
            "Photos stay on this machine; only the endpoint that you choose gets them."
        ).classes("quiet")
        self.problem = frame.Problems()
        given = context.current().bundle
        with ui.element("div").classes("bar above"):
            self.target = ui.select([_BUNDLE], label="Answered by").props("outlined dense")
            self.target.classes("wide")
            self.bundle = ui.input("Bundle: a folder or model.tar.gz", value=str(given or ""))
            self.bundle.props("outlined dense").classes("wide mono")
            self.bundle.bind_visibility_from(self.target, "value", value=_BUNDLE)
            self.model = ui.input("Model, for a multi-model endpoint").props("outlined dense")
            self.model.classes("wide").bind_visibility_from(
                self.target, "value", backward=lambda value: value not in (_BUNDLE, None)
            )
            self.heat = ui.checkbox("Heat maps (Grad-CAM)", value=True, on_change=self.show)
            self.heat.props('aria-label="Heat maps (Grad-CAM)"')
        drop.Drop(self.key, self.dropped)
        with ui.element("div").classes("bar"):
            self.path = ui.input("Or a photo or folder on this machine").props("outlined dense")
            self.path.classes("wide mono").on("keydown.enter", self.from_path)
            ui.button("Classify", on_click=self.from_path).props("no-caps outline")
            self.stop = ui.button("Stop", on_click=self.end).props("no-caps flat color=negative")
        self.said = ui.label().props('role="status"')
        self.result = ui.label().classes("state")
        self.note = ui.label().classes("quiet")
        self.sheet = sheet.Sheet()
        self.tables = ui.element("section").props('aria-label="Answers"')
        with self.tables:
            frame.heading("Answers")
            self.answers = tables.show(
                "Answers", sheet.COLUMNS, numeric=sheet.NUMERIC, if_empty="no photo yet"
            )
            ui.label(
                "Probabilities are as the bundle calibrated them; kennel predict --out writes "
                "those of all classes."
            ).classes("quiet")
            self.judged = ui.element("section")
            with self.judged:
                frame.heading("Right by class")
                self.classes = tables.show(
                    "Right by class",
                    ("folder's class", "right", "of", "share"),
                    numeric=("right", "of", "share"),
                    if_empty="no photo is in the folder of a class",
                )
        self.show()
        ui.timer(0.4, self.show, immediate=False)

    async def look(self) -> None:
        """List the endpoints that are in service."""
        found = await frame.quietly(_in_service, context.current().aws)
        if isinstance(found, str):
            self.problem.show(found)
            found = []
        options = [*found, _BUNDLE]
        first = _BUNDLE if context.current().bundle or not found else found[0]
        self.target.set_options(options, value=first)

    async def dropped(self, count: int) -> None:
        """Answer what the browser has sent."""
        self.album.left_out = max(self.album.left_out, count - len(self.album.photos))
        await self.answer()

    async def from_path(self) -> None:
        """Answer what is at a path of this machine."""
        text = (self.path.value or "").strip()
        self.end()
        fresh = Album()
        if not text:
            self.problem.show("give the path of a photo or of a folder")
            return
        found = await frame.quietly(_add, fresh, Path(text).expanduser())
        if isinstance(found, str):
            self.problem.show(found)
            return
        self.album.close()
        drop.albums[self.key] = fresh
        await self.answer()

    async def answer(self) -> None:
        self.end()
        chosen = str(self.target.value)
        is_bundle = chosen == _BUNDLE
        target = Target(
            endpoint="" if is_bundle else chosen,
            model="" if is_bundle else (self.model.value or "").strip(),
            bundle=(self.bundle.value or "").strip() if is_bundle else "",
        )
        if is_bundle and not target.bundle:
            self.problem.show("give the path of a bundle: a folder, or its model.tar.gz")
            return
        self.problem.show("")
        self.work = work = Work(self.album, target, explain=bool(self.heat.value))
        try:
            found = await frame.quietly(_run, work)
        finally:
            is_latest = self.work is work
            self.work = None if is_latest else self.work
        if is_latest:
            if isinstance(found, str):
                self.problem.show(found)
            self.said.text = work.said
            self.note.text = work.note
            self.show()

    def end(self) -> None:
        if self.work:
            self.work.stop()

    def show(self) -> None:
        """Show the photos and what is known of them."""
        photos = self.album.photos
        self.stop.visible = self.work is not None
        if self.work:
            self.said.text, self.note.text = self.work.said, self.work.note
        if self.album.left_out and photos:
            limit = f"{self.album.left_out} more photos are left out: at most {album.MOST_PHOTOS}"
            self.note.text = f"{limit} at once"
        self.result.text = sheet.summary(photos)
        self.sheet.show(photos, f"/photo/picture/{self.key}", heat=bool(self.heat.value))
        self.tables.visible = len(photos) > 1
        self.answers.update(sheet.rows(photos))
        by_class = sheet.by_class(photos)
        self.judged.visible = bool(by_class)
        self.classes.update(by_class)


def _in_service(aws: Aws) -> list[str]:
    """The endpoints that answer now, newest first."""
    found: list[str] = []
    for one in aws.pages(endpoints.list_endpoints(None), "Endpoints"):
        if one["EndpointStatus"] == "InService":
            found.append(one["EndpointName"])
        if len(found) == _MOST_ENDPOINTS:
            break
    return found


def _add(photos: Album, path: Path) -> bool:
    photos.add_path(path)
    return True


def _run(work: Work) -> bool:
    work.run()
    return True
