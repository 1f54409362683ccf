"""Writes `report.html` and `report.json` from a recording."""

import itertools
import json as encoder
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from debugger import formats
from debugger.recording import RecordingError
from debugger.records import Record, Start
from debugger.report.analysis.summary import summarise
from debugger.report.facts import Report
from debugger.report.page import page


def write(
    recording: Path | Iterable[Record],
    html: Path,
    json: Path | None = None,
    *,
    settings: Mapping[str, Any] | None = None,
    running: bool = False,
) -> Report:
    """Write the report of a recording, and return its facts.

    A job that reports on itself must write its End first; otherwise the report says that the job
    ended abruptly.

    Args:
        recording: a folder with a recording (of Kennel, smdebug or SageMaker), or records by time.
        html: the page to write; its folder must exist.
        json: the file for the same facts as JSON.
        settings: rule settings, as for `debugger.rules.make`; None means the settings of the job.
        running: the job still runs, so a missing End is not an abrupt end.

    Raises:
        RecordingError: the folder holds no recording, or nothing was recorded.
        RuleSettingsError: the rule settings are wrong.
    """
    records = formats.read(recording) if isinstance(recording, Path) else iter(recording)
    first = next(records, None)
    if first is None:
        raise RecordingError(f"{recording} holds no records yet")
    if settings is None:
        settings = _own_settings(first)
    stream = itertools.chain([first], records)
    report, gathered = summarise(stream, settings, running=running)
    html.write_text(page(report, gathered), encoding="utf-8")
    if json:
        json.write_text(report.model_dump_json(indent=2), encoding="utf-8")
    return report


def _own_settings(first: Record) -> dict[str, Any]:
    """Return the rule settings of the job: a recording begins with its Start record."""
    if not isinstance(first, Start):
        return {}
    hyperparameters = first.facts.get("hyperparameters")
    given = hyperparameters.get("debugger_rules") if isinstance(hyperparameters, Mapping) else None
    return dict(encoder.loads(given)) if given else {}
