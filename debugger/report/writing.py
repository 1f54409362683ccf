"""From a recording to `report.html` and `report.json`."""

import json as encoder
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from debugger.recording import read
from debugger.records import End, Start, Step
from debugger.report.markup import Html, tag


def write(
    recording: Path,
    html: Path,
    json: Path | None = None,
    *,
    settings: Mapping[str, Any] | None = None,
) -> None:
    """Write the report of a recording.

    Args:
        recording: the folder.
        html: the page to write; its folder must exist.
        json: where the same facts go as JSON.
        settings: of the rules, as the job's `debugger_rules` has them; None runs all of them with
            their defaults.

    Raises:
        RecordingError: the folder holds no recording.
        ValueError: settings that cannot be used.
    """
    job, end, steps = "", "", 0
    for record in read(recording):
        match record:
            case Start():
                job = record.job
            case Step(mode="train"):
                steps += 1
            case End():
                end = record.status
    page = tag("html", tag("body", tag("h1", job), tag("p", f"{end}: {steps} steps")))
    html.write_text(Html("<!doctype html>\n") + page, encoding="utf-8")
    if json:
        facts: dict[str, Any] = {"version": 1, "job": {"name": job, "status": end}, "steps": steps}
        facts["settings"] = dict(settings or {})
        json.write_text(encoder.dumps(facts), encoding="utf-8")
