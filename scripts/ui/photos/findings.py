"""What a check of photos found, drawn: verdict, conflicts, counts, bad files, copies, samples."""

from collections.abc import Mapping, Sequence
from typing import Any

from nicegui import ui

from scripts.console.safe import without_escapes
from scripts.ui import charts, frame, tables
from scripts.ui.photos.looking import MOST_ROWS

Found = Mapping[str, Any]


def draw(found: Found) -> None:
    """Draw a finished check, the worst first."""
    _verdict(found)
    if found["conflicts"]:
        frame.heading("Label conflicts")
        ui.label("Pictures with equal bytes in several classes.").classes("quiet")
        tables.show(
            "Label conflicts",
            ("classes", "pictures", "copies"),
            [
                tables.Row(
                    str(number),
                    (tables.Cell(classes, tone="bad"), tables.Cell(_few(paths, count)), _n(count)),
                )
                for number, (classes, paths, count) in enumerate(found["conflicts"])
            ],
            numeric=("copies",),
            if_empty="none",
        )
        _more(found, "conflicts")
    if found["counts"]:
        _counts(found)
    if "totals" in found and not found["conflicts"]:
        _unreadable(found)
        _groups(found)
    if found.get("notes"):
        frame.heading("Notes")
        for note in found["notes"]:
            ui.label(without_escapes(note)).classes("answer")
    if found.get("samples"):
        _samples(found["samples"])


def _verdict(found: Found) -> None:
    totals = found.get("totals", {})
    if found["counts"]:
        what = f"{found['pictures']:,} pictures in {len(found['counts']):,} classes"
        ui.label(f"{what}, {size(found['bytes'])}").classes("state")
    for error in found["errors"]:
        frame.problem_text(f"The job would fail: {error}")
    warnings = list(found.get("warnings", ()))
    if totals.get("leaks"):
        warnings.insert(0, f"groups of copies that are in more than one split: {totals['leaks']:,}")
    if totals.get("unreadable"):
        warnings.insert(0, f"pictures that cannot be read: {totals['unreadable']:,}")
    for warning in warnings:
        ui.label(f"Warning: {without_escapes(warning)}").classes("busy answer")
    if not found["errors"]:
        noted = any(note.startswith("WARNING") for note in found.get("notes", ()))
        is_good = not warnings and not noted
        text = "No problems found." if is_good else "The job would train; see the warnings."
        ui.label(text).classes("state good" if is_good else "state")


def _counts(found: Found) -> None:
    splits, counts = found["splits"], found["counts"]
    frame.heading("Classes")
    charts.bars(
        "Pictures by class and split",
        list(counts),
        {split: [counts[label].get(split, 0) for label in counts] for split in splits},
        x="class",
    )
    tables.show(
        "Classes and counts",
        ("class", *splits, "all"),
        [
            tables.Row(
                label,
                (
                    tables.Cell(label),
                    *(_n(own.get(split, 0)) for split in splits),
                    _n(sum(own.values())),
                ),
            )
            for label, own in counts.items()
        ],
        numeric=(*splits, "all"),
        if_empty="no pictures",
    )


def _unreadable(found: Found) -> None:
    frame.heading("Unreadable pictures")
    tables.show(
        "Unreadable pictures",
        ("picture", "split", "class", "why"),
        [tables.Row(str(n), [tables.Cell(text) for text in row]) for n, row in _numbered(found)],
        if_empty="every picture can be read",
    )
    _more(found, "unreadable")


def _groups(found: Found) -> None:
    frame.heading("Copies and leaks")
    if not found["near_checked"]:
        ui.label("Similar pictures are not searched: pip install 'sagemaker-kennel[data]'").classes(
            "quiet"
        )
    tables.show(
        "Copies and leaks",
        ("pictures", "copies", "kind", "splits", "leak", "classes"),
        [
            tables.Row(
                str(number),
                (
                    tables.Cell(_few(one["pictures"], one["count"])),
                    _n(one["count"]),
                    tables.Cell(one["kind"]),
                    tables.Cell(" and ".join(one["splits"])),
                    tables.Cell("leak", tone="bad") if one["leak"] else tables.Cell(""),
                    tables.Cell(
                        ", ".join(one["classes"]), tone="busy" if len(one["classes"]) > 1 else ""
                    ),
                ),
            )
            for number, one in enumerate(found["groups"])
        ],
        numeric=("copies",),
        if_empty="no copies",
    )
    _more(found, "copies", "alike")


def _samples(samples: Sequence[Mapping[str, str]]) -> None:
    frame.heading("Samples")
    with ui.element("ul").classes("samples").props('aria-label="Samples"'):
        for one in samples:
            label, name = without_escapes(one["label"]), without_escapes(one["name"])
            with ui.element("li"):
                image = ui.element("img")
                image._props["src"] = f"data:image/jpeg;base64,{one['jpeg']}"
                image._props["alt"] = f"{label}: {name}"
                ui.label(label)


def _numbered(found: Found) -> list[tuple[int, Sequence[str]]]:
    return list(enumerate(found["unreadable"]))


def _more(found: Found, *kinds: str) -> None:
    """Say how many rows a table lacks."""
    total = sum(found["totals"].get(kind, 0) for kind in kinds)
    if total > MOST_ROWS:
        ui.label(f"The first {MOST_ROWS:,} of {total:,} are shown.").classes("quiet")


def _few(paths: Sequence[str], count: int) -> str:
    more = f" and {count - len(paths)} more" if count > len(paths) else ""
    return ", ".join(paths) + more


def size(count: int) -> str:
    """Write bytes as a person would."""
    return f"{count / 2**20:,.1f} MiB" if count >= 2**20 else f"{count / 2**10:,.0f} KiB"


def _n(count: int) -> tables.Cell:
    return tables.Cell(f"{count:,}", count)
