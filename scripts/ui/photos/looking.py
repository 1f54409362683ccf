"""The process that checks photos for the page "Data", with the code of `kennel data check`.

It reads what to check from the standard input and prints lines of JSON: {"done": …, "of": …}
while it works, then {"found": …} or {"problem": …}. The page ends it to cancel.
"""

import base64
import json
import signal
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from pictures import channels, checks
from pictures.copies import equal
from pictures.decoder import ImageError
from pictures.picture import DataError, Picture
from pictures.shards import ShardError
from pictures.tables.table import TableOptions
from scripts import spec
from scripts.photos import links, unpacking
from scripts.problem import Problem
from scripts.ui.photos.album import thumbnail
from train.config import ConfigError, TrainConfig, from_hyperparameters

# Rows of a table and pictures of a row: what a browser shows at once.
MOST_ROWS = 1_000
_MOST_IN_GROUP = 12
_MOST_SAMPLES = 96
_SAMPLES_OF_CLASS = 3
_SAMPLE_SIDE = 160  # pixels
_STEP_S = 0.1


def main(request: dict[str, Any]) -> dict[str, Any]:
    """Check photos, and return what was found.

    Args:
        request: `channels`, their folders by name, and `spec`, an experiment for the
            hyperparameters, or empty. The folder of the only channel can be an archive.

    Raises:
        Problem: there is no such folder, or the experiment is wrong.
    """
    config = _config(request.get("spec", ""))
    given = {name: Path(path).expanduser() for name, path in request["channels"].items()}
    for path in given.values():
        if not path.exists():
            raise Problem(f"{path}: no such folder")
    if len(given) > 1:
        return _look(given, config)
    [(name, folder)] = given.items()
    with unpacking.folder_of(folder) as unpacked:
        return _look({name: unpacked}, config)


def _config(file: str) -> TrainConfig:
    base = spec.load(Path(file).expanduser()).hyperparameters if file else {}
    try:
        return from_hyperparameters(base)
    except ConfigError as error:
        raise Problem(str(error)) from error


def _look(given: dict[str, Path], config: TrainConfig) -> dict[str, Any]:
    options = TableOptions(
        config.table, config.picture_column, config.label_column, config.split_column
    )
    left = [name for path in given.values() for name in links.not_followed(path)]
    try:
        report = checks.check(
            given,
            _Progress(),
            split_seed=config.split_seed,
            valid_fraction=config.valid_fraction,
            test_fraction=config.test_fraction,
            max_unreadable=config.max_unreadable,
            table=options,
        )
    except DataError as error:
        return _refused(given, options, str(error))
    root = _root(given)
    groups = [(what, one) for what in ("copies", "alike") for one in getattr(report, what)]
    leaks = set(map(id, report.leaks))
    return {
        "errors": list(report.errors),
        "warnings": [*report.warnings, *_of_links(left)],
        "notes": list(report.splits.notes),
        "near_checked": report.near_checked,
        "pictures": len(report.photos),
        "bytes": sum(one.size for one in report.photos),
        "splits": [part for part, own in report.splits.parts().items() if own],
        "counts": {label: dict(count) for label, count in report.counts().items()},
        "unreadable": [
            [_below(root, one.path), one.split, one.label, one.unreadable]
            for one in report.unreadable[:MOST_ROWS]
        ],
        "groups": [
            {
                "kind": "equal bytes" if what == "copies" else "similar",
                "pictures": [_below(root, one.path) for one in group[:_MOST_IN_GROUP]],
                "count": len(group),
                "splits": sorted({one.split for one in group}),
                "classes": sorted({one.label for one in group}),
                "leak": id(group) in leaks,
            }
            for what, group in sorted(groups, key=lambda pair: id(pair[1]) not in leaks)[:MOST_ROWS]
        ],
        "totals": {
            "unreadable": len(report.unreadable),
            "copies": len(report.copies),
            "alike": len(report.alike),
            "leaks": len(report.leaks),
        },
        "samples": _samples(
            (one.picture, one.label) for one in report.photos if not one.unreadable
        ),
        "conflicts": [],
    }


def _refused(given: dict[str, Path], options: TableOptions, why: str) -> dict[str, Any]:
    """What can be seen although the job would fail before it reads a picture: counts, conflicts."""
    found: dict[str, Any] = {"errors": [why], "counts": {}, "splits": [], "conflicts": []}
    try:
        layout = channels.layout(given, options)
    except DataError:
        return found
    root = _root(given)
    counts: dict[str, dict[str, int]] = {}
    pictures: list[Picture] = []
    names = list(dict.fromkeys(name for one in layout.listings.values() for name in one.classes))
    for part, listing in layout.listings.items():
        for name, own in listing.classes.items():
            counts.setdefault(name, {})[part] = len(own)
            number = names.index(name)
            pictures += [Picture(one.path, number, one.place, one.name, one.size) for one in own]
    conflicts = [group for group in equal.groups(pictures) if len({one.label for one in group}) > 1]
    return found | {
        "notes": list(layout.notes),
        "splits": list(layout.listings),
        "counts": counts,
        "pictures": len(pictures),
        "bytes": sum(max(0, one.size) for one in pictures),
        "conflicts": [
            [
                ", ".join(sorted({names[one.label] for one in group})),
                [_below(root, one.path) for one in group[:_MOST_IN_GROUP]],
                len(group),
            ]
            for group in conflicts[:MOST_ROWS]
        ],
        "totals": {"conflicts": len(conflicts)},
        "samples": _samples((one, names[one.label]) for one in pictures),
    }


def _samples(pictures: Iterable[tuple[Picture, str]]) -> list[dict[str, str]]:
    """Return thumbnails of the first pictures of each class that can be read."""
    by_class: dict[str, list[Picture]] = {}
    for picture, label in pictures:
        own = by_class.setdefault(label, [])
        if len(own) < _SAMPLES_OF_CLASS:
            own.append(picture)
    each = max(1, min(_SAMPLES_OF_CLASS, _MOST_SAMPLES // max(1, len(by_class))))
    found = []
    for label, own in list(by_class.items())[:_MOST_SAMPLES]:
        for picture in own[:each]:
            try:
                small, _ = thumbnail(picture.read(), _SAMPLE_SIDE)
            except (ImageError, ShardError, OSError):
                continue
            encoded = base64.b64encode(small).decode()
            found.append({"label": label, "name": picture.own_name, "jpeg": encoded})
    return found


class _Progress:
    """Prints how many pictures are done, ten times a second at most."""

    def __init__(self) -> None:
        self._next = 0.0

    def __call__(self, done: int, total: int) -> None:
        if done == total or time.monotonic() >= self._next:
            self._next = time.monotonic() + _STEP_S
            _print({"done": done, "of": total})


def _of_links(left: Sequence[str]) -> list[str]:
    shown = ", ".join(left[:5])
    more = f" and {len(left) - 5} more" if len(left) > 5 else ""
    return [f"`kennel data upload` leaves out links ({shown}{more})"] if left else []


def _root(given: dict[str, Path]) -> Path:
    return next(iter(given.values())) if len(given) == 1 else Path()


def _below(root: Path, path: Path) -> str:
    return str(path.relative_to(root)) if path.is_relative_to(root) else str(path)


def _print(line: dict[str, Any]) -> None:
    # Names that are not UTF-8 stay readable: JSON escapes what is not ASCII.
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def _end(_signal: int, _frame: object) -> None:
    sys.exit(1)


if __name__ == "__main__":
    # An ordinary end removes what was unpacked.
    signal.signal(signal.SIGTERM, _end)
    try:
        _print({"found": main(json.loads(sys.stdin.read()))})
    except (Problem, OSError) as problem:
        _print({"problem": str(problem)})
