"""The contact sheet: a card for each photo with its classes, novelty, heat map, right or wrong."""

from collections.abc import Mapping, Sequence
from typing import Any

from nicegui import ui

from scripts.console.safe import without_escapes
from scripts.ui import tables
from scripts.ui.photos import album
from scripts.ui.photos.album import Photo
from scripts.ui.tables import file_name

# Up to so many photos have large cards.
_LARGE = 4
_BARS = 5
_UNLIKE, _UNUSUAL = 0.99, 0.95


class Sheet(ui.element, component="sheet.js"):
    """Cards; all their texts are shown as text."""

    def __init__(self) -> None:
        super().__init__()
        self._props["cards"] = []
        self._props["large"] = True
        self._props["heat"] = True

    def show(self, photos: Sequence[Photo], address: str, *, heat: bool) -> None:
        """Show these photos; nothing is sent if nothing changed.

        Args:
            photos: of the album.
            address: below which `/{number}.jpg` is a thumbnail, `/{number}.png` a heat map.
            heat: whether heat maps are laid over the photos.
        """
        classes = album.labels(photos)
        cards = [_card(one, classes, address) for one in photos]
        if cards == self._props["cards"] and heat == self._props["heat"]:
            return
        self._props["cards"] = cards
        self._props["large"] = len(cards) <= _LARGE
        self._props["heat"] = heat
        self.update()


def ranked(photo: Photo) -> list[tuple[str, float]]:
    """Classes with their probabilities, the most likely first."""
    if not photo.body:
        return []
    pairs = zip(photo.body["labels"], photo.body["probabilities"], strict=True)
    return sorted(pairs, key=lambda pair: -pair[1])


def novelty(photo: Photo) -> float | None:
    """The share of validation photos that are less unusual; None if it is not measured."""
    found = (photo.body or {}).get("novelty")
    return float(found) if isinstance(found, int | float) else None


def in_words(share: float | None) -> str:
    """What a novelty means."""
    if share is None:
        return ""
    if share > _UNLIKE:
        return "unlike anything in training"
    return "unusual for the network" if share > _UNUSUAL else "like the photos of training"


def is_right(photo: Photo, classes: Mapping[str, str]) -> bool | None:
    """Whether the predicted class is the folder's; None if the folder is no class."""
    label = classes.get(photo.folder)
    first = ranked(photo)[:1]
    return first[0][0] == label if label is not None and first else None


def summary(photos: Sequence[Photo]) -> str:
    """How many are right, by the names of their folders; empty without such folders."""
    classes = album.labels(photos)
    found = [is_right(one, classes) for one in photos]
    judged = [one for one in found if one is not None]
    if not judged:
        return ""
    right, share = sum(judged), sum(judged) / len(judged)
    text = f"{right} of {len(judged)} right ({share:.1%}), by the names of their folders"
    others = sum(bool(one.body) for one in photos) - len(judged)
    return f"{text}; {others} in folders that are no class" if others else text


def rows(photos: Sequence[Photo]) -> list[tables.Row]:
    """The answers as rows: photo, class, probability, novelty, labelled, verdict, ms, problem."""
    classes = album.labels(photos)
    return [_row(one, classes) for one in photos]


COLUMNS = ("photo", "class", "probability", "novelty", "folder's class", "right", "ms", "problem")
NUMERIC = ("probability", "novelty", "ms")


def by_class(photos: Sequence[Photo]) -> list[tables.Row]:
    """For each class of the folders, how many photos are right."""
    classes = album.labels(photos)
    judged: dict[str, list[bool]] = {}
    for one in photos:
        right = is_right(one, classes)
        if right is not None:
            judged.setdefault(classes[one.folder], []).append(right)
    return [
        tables.Row(
            label,
            (
                tables.Cell(label),
                tables.Cell(str(sum(found)), sum(found)),
                tables.Cell(str(len(found)), len(found)),
                tables.Cell(f"{sum(found) / len(found):.0%}", sum(found) / len(found)),
            ),
        )
        for label, found in sorted(judged.items())
    ]


def _row(photo: Photo, classes: Mapping[str, str]) -> tables.Row:
    first = ranked(photo)[:1]
    label, share = first[0] if first else ("", None)
    new, right = novelty(photo), is_right(photo, classes)
    took = photo.milliseconds
    return tables.Row(
        key=str(photo.number),
        cells=(
            tables.Cell(photo.name),
            tables.Cell(label),
            tables.Cell("" if share is None else f"{share:.1%}", "" if share is None else share),
            tables.Cell("" if new is None else f"{new:.3f}", "" if new is None else new),
            tables.Cell(classes.get(photo.folder, "")),
            tables.Cell("")
            if right is None
            else tables.Cell("right" if right else "wrong", tone="good" if right else "bad"),
            tables.Cell("" if took is None else f"{took:,.0f}", "" if took is None else took),
            tables.Cell(photo.error, tone="bad" if photo.error else ""),
        ),
    )


def _card(photo: Photo, classes: Mapping[str, str], address: str) -> dict[str, Any]:
    right, new = is_right(photo, classes), novelty(photo)
    verdict = ""
    if right is not None:
        verdict = "right" if right else f"wrong: its folder is {classes[photo.folder]}"
    took = photo.milliseconds
    return {
        "key": photo.number,
        "name": photo.name,
        "file": file_name(photo.name),
        "src": f"{address}/{photo.number}.jpg" if photo.thumbnail else "",
        "size": photo.size,
        "heat": f"{address}/{photo.number}.png" if photo.heat_map else "",
        "square": _square(photo) if photo.heat_map else None,
        "exact": bool(photo.heat_map and photo.heat_map[1]),
        "bars": [
            {"label": without_escapes(label), "share": share, "text": f"{share:.1%}"}
            for label, share in ranked(photo)[:_BARS]
        ],
        "novelty": in_words(new),
        "unlike": new is not None and new > _UNLIKE,
        "new": "" if new is None else f"novelty {new:.2f}",
        "verdict": without_escapes(verdict),
        "tone": "" if right is None else "good" if right else "bad",
        "took": "" if took is None else f"{took:,.0f} ms",
        "error": photo.error,
        "note": photo.note,
        "waits": not photo.error and not photo.body,
    }


def _square(photo: Photo) -> dict[str, float]:
    """Where the heat map is on the photo: left, top, width and height as shares of the photo."""
    assert photo.heat_map
    width, height = photo.size
    side = min(width, height) * (photo.heat_map[1] or 1.0)
    across, down = side / width, side / height
    return {"left": (1 - across) / 2, "top": (1 - down) / 2, "width": across, "height": down}
