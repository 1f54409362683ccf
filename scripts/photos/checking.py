"""What `kennel data check` prints of a report, and the file of similar pictures that it writes."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from pictures import checks
from pictures.checks import Photo, Report
from pictures.picture import shorten
from scripts.console import terminal

_MAX_GROUPS = 5
_MAX_FILES = 20


def show(found: Report, folder: Path, links: Sequence[str]) -> bool:
    """Print a report; return whether it has warnings.

    Args:
        found: the report.
        folder: paths are shown relative to it.
        links: that an upload leaves out.
    """
    _show_counts(found)
    for photo in found.unreadable[:_MAX_FILES]:
        terminal.result(f"unreadable: {_below(folder, photo.path)}: {photo.unreadable}")
    if len(found.unreadable) > _MAX_FILES:
        terminal.result(f"unreadable: {len(found.unreadable) - _MAX_FILES} more")
    for note in found.splits.notes:
        terminal.result(note)
    for warning in found.warnings:
        terminal.result(f"WARNING: {warning}")
    _show_groups("duplicates", found.copies, folder)
    if found.near_checked:
        _show_groups("near-duplicates", found.alike, folder)
    else:
        terminal.result("near-duplicates not searched: pip install 'sagemaker-kennel[data]'")
    for group in found.leaks[:_MAX_GROUPS]:
        where = " and ".join(sorted({one.split for one in group}))
        terminal.result(f"WARNING: leak: {_below(folder, group[0].path)} is in {where}")
    if len(found.leaks) > _MAX_GROUPS:
        terminal.result(f"WARNING: leak: {len(found.leaks) - _MAX_GROUPS} more groups")
    made = {"train", *found.splits.made}
    if any({one.split for one in group} <= made for group in found.leaks):
        terminal.result("--save writes a file by which training keeps similar pictures together")
    if links:
        shown = shorten([_below(folder, Path(one)) for one in links])
        terminal.result(
            f"WARNING: `kennel data upload` leaves out links ({shown}): give it --follow-links"
        )
    for error in found.errors:
        terminal.result(f"the job would fail: {error}")
    noted = any(note.startswith("WARNING") for note in found.splits.notes)
    return bool(found.leaks or found.warnings or found.unreadable or links or noted)


def save(found: Report) -> None:
    """Write the similar pictures next to the class folders, for the job to read."""
    if not found.splits.made:
        terminal.result("--save: the splits are given as folders, so there is nothing to write")
        return
    path = checks.save_near_copies(found)
    terminal.result(f"{path}: {len(found.alike)} groups of similar pictures; check again to see")


def _show_counts(found: Report) -> None:
    """Show the pictures that can be read, by class and split."""
    counts = found.counts()
    splits = [part for part, own in found.splits.parts().items() if own]
    terminal.table(
        ["class", *splits],
        ([label, *(str(count[split]) for split in splits)] for label, count in counts.items()),
        if_empty="no pictures",
    )
    size = sum(photo.size for photo in found.photos)
    terminal.result(
        f"{len(found.photos)} pictures in {len(counts)} classes, {size / 2**20:,.1f} MiB"
    )


def _show_groups(what: str, groups: Iterable[tuple[Photo, ...]], folder: Path) -> None:
    found = list(groups)
    for group in found[:_MAX_GROUPS]:
        terminal.result(f"{what}: {shorten([_below(folder, one.path) for one in group])}")
    if len(found) > _MAX_GROUPS:
        terminal.result(f"{what}: {len(found) - _MAX_GROUPS} more groups")


def _below(folder: Path, path: Path) -> str:
    return str(path.relative_to(folder)) if path.is_relative_to(folder) else str(path)
