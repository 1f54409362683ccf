"""From a recording to `report.html` and `report.json`."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from debugger.recording import read
from debugger.records import Record
from debugger.report.facts import Report
from debugger.report.page import page
from debugger.report.summary import summarise


def write(
    recording: Path | Iterable[Record],
    html: Path,
    json: Path | None = None,
    *,
    settings: Mapping[str, Any] | None = None,
    running: bool = False,
) -> Report:
    """Write the report of a recording, and return its facts.

    A job that reports on itself writes its End first, lest the report call its end abrupt.

    Args:
        recording: the folder, or its records by time.
        html: the page to write; its folder must exist.
        json: where the same facts go as JSON.
        settings: of the rules, as `debugger.rules.make` takes them; None runs all of them with
            their defaults.
        running: the job still runs, so that a missing End means nothing.

    Raises:
        RecordingError: the folder holds no recording, or nothing was recorded.
        RuleSettingsError: settings that cannot be used.
    """
    records = read(recording) if isinstance(recording, Path) else recording
    report, gathered = summarise(records, settings or {}, running=running)
    html.write_text(page(report, gathered), encoding="utf-8")
    if json:
        json.write_text(report.model_dump_json(indent=2), encoding="utf-8")
    return report
