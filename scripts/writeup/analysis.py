"""The facts of a recording, from the code that also writes the report."""

from pathlib import Path

from debugger import report as reporting
from debugger.recording import RecordingError
from debugger.report.facts import Report
from debugger.rules import RuleSettingsError
from scripts.problem import Problem
from scripts.writeup.story import Point


def of_recording(folder: Path, page: Path, called: str, *, running: bool) -> Report:
    """Return the facts of a recording; its report is written to `page`.

    Messages name the folder as the user `called` it, because it can be a temporary one.

    Raises:
        Problem: the folder holds no recording.
    """
    try:
        return reporting.write(folder, page, running=running)
    except (RecordingError, RuleSettingsError) as error:
        raise Problem(str(error).replace(str(folder), called)) from error


def curves(report: Report) -> dict[str, list[Point]]:
    """Return the metrics by epoch, from 1; the last value of each epoch."""
    found = {}
    for name, points in report.curves.items():
        by_epoch = {point.epoch + 1: point.value for point in points}
        found[name] = [Point(epoch, value) for epoch, value in sorted(by_epoch.items())]
    return found


def best_epoch(report: Report) -> int | None:
    """Return the epoch in the bundle, from 1; without a bundle, that of the best accuracy."""
    best = report.best_accuracy
    return best[0] if best else None


def accuracy(report: Report) -> float | None:
    """Return the best validation accuracy."""
    best = report.best_accuracy
    return best[1] if best else None
