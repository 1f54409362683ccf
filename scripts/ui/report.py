"""The report of a training job inside its page: without an origin and without the network."""

import secrets
import tempfile
from pathlib import Path

from fastapi import Response
from nicegui import app, ui

from scripts.aws import recordings
from scripts.problem import Problem
from scripts.requests import jobs
from scripts.ui import context, frame
from scripts.ui.guard import REPORT

# Reports that can be opened, the newest ones.
_MOST = 20
_pages: dict[str, bytes] = {}


def section(job: str) -> None:
    """Draw a button that makes the report, and the report below it."""
    frame.heading("Report")
    with ui.element("div").classes("bar"):
        button = ui.button("Make the report").props("no-caps outline")
        ui.label("where the time went, what the rules found, what to do").classes("quiet")
    place = ui.element("div")

    async def make() -> None:
        button.props("loading")
        with place:
            place.clear()
            address = await frame.ask(_make, job)
            if address:
                ui.element("iframe").classes("report").props(
                    f'src="{address}" sandbox="allow-scripts" title="Report of the job"'
                )
                ui.link("Open the report alone", address, new_tab=True)
        button.props(remove="loading")

    button.on_click(make)


def _make(job: str) -> str:
    """Write the report from the job's recording; return its address.

    Raises:
        Problem: the job has no recording.
    """
    # The debugger's packages are slow to import.
    from debugger import report as reporting
    from debugger.recording import RecordingError
    from debugger.rules import RuleSettingsError

    aws = context.current().aws
    about = aws.send(jobs.describe(jobs.TRAINING, job))
    with tempfile.TemporaryDirectory() as temporary:
        folder = recordings.fetch_job(aws, about, Path(temporary) / "recording")
        page = Path(temporary) / "report.html"
        try:
            reporting.write(folder, page, running=about["TrainingJobStatus"] not in jobs.ENDED)
        except (RecordingError, RuleSettingsError) as error:
            raise Problem(str(error)) from error
        content = page.read_bytes()
    key = secrets.token_urlsafe(12)
    while len(_pages) >= _MOST:
        _pages.pop(next(iter(_pages)))
    _pages[key] = content
    return f"{REPORT}{key}"


@app.get(REPORT + "{key}")
def page(key: str) -> Response:
    """Return a report; the guard adds its policy."""
    if key not in _pages:
        return Response("kennel ui: make the report again", 404, media_type="text/plain")
    return Response(_pages[key], media_type="text/html")
