"""Writes `report.html` and `report.json` from a recording."""

import itertools
import json as encoder
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from debugger import formats
from debugger.recording import RecordingError
from debugger.records import Record, Start
from debugger.report.analysis.comparison import compare
from debugger.report.analysis.gathering import Gathered
from debugger.report.analysis.summary import summarise
from debugger.report.facts import Cost, Report, Tuning
from debugger.report.page import page, tuning_page


def write(
    recording: Path | Iterable[Record],
    html: Path,
    json: Path | None = None,
    *,
    settings: Mapping[str, Any] | None = None,
    running: bool = False,
    cost: Cost | None = None,
    against: Path | None = None,
    against_cost: Cost | None = None,
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
        cost: prices and billed time, if they are known.
        against: the recording of another job, to show what changed since then.
        against_cost: as `cost`, of the other job.

    Raises:
        RecordingError: the folder holds no recording, or nothing was recorded.
        RuleSettingsError: the rule settings are wrong.
    """
    report, gathered = _summarise(recording, settings, running=running, cost=cost)
    if against:
        other, _ = _summarise(against, None, running=True, cost=against_cost)
        report = report.model_copy(update={"against": compare(report, other)})
    html.write_text(page(report, gathered), encoding="utf-8")
    if json:
        json.write_text(report.model_dump_json(indent=2), encoding="utf-8")
    return report


def write_tuning(report: Tuning, html: Path) -> None:
    """Write the report of a tuning job; its folder must exist."""
    html.write_text(tuning_page(report), encoding="utf-8")


def _summarise(
    recording: Path | Iterable[Record],
    settings: Mapping[str, Any] | None,
    *,
    running: bool,
    cost: Cost | None,
) -> tuple[Report, Gathered]:
    records = formats.read(recording) if isinstance(recording, Path) else iter(recording)
    first = next(records, None)
    if first is None:
        raise RecordingError(f"{recording} holds no records yet")
    if settings is None:
        settings = _own_settings(first)
    stream = itertools.chain([first], records)
    return summarise(stream, settings, running=running, cost=cost)


def _own_settings(first: Record) -> dict[str, Any]:
    """Return the rule settings of the job: a recording begins with its Start record."""
    if not isinstance(first, Start):
        return {}
    hyperparameters = first.facts.get("hyperparameters")
    given = hyperparameters.get("debugger_rules") if isinstance(hyperparameters, Mapping) else None
    return dict(encoder.loads(given)) if given else {}
