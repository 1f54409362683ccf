"""Heat maps: values in rows and columns as a small picture in the page, with a legend."""

import base64
import json
import struct
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from debugger.report.drawing.markup import Html, tag

# Levels of a picture: 0 to 249 are the scale; then zero, not finite, and no value.
_NAMED = 20  # classes that have their names at the axes
_LEVELS, _ZERO, _NOT_FINITE, _EMPTY = 250, 250, 251, 252
# viridis (Smith and van der Walt, 2015; CC0): readable for colour-blind people and in grey.
_ANCHORS = np.array(
    [(68, 1, 84), (72, 40, 120), (62, 74, 137), (49, 104, 142), (38, 130, 142),
     (31, 158, 137), (53, 183, 121), (109, 205, 89), (180, 222, 44), (253, 231, 37)],
    dtype=np.float64,
)  # fmt: skip


@dataclass(frozen=True)
class Scale:
    """What the colours mean; a logarithmic scale has an extra colour for zero."""

    low: float
    high: float
    logarithmic: bool

    def levels(self, values: np.ndarray) -> np.ndarray:
        """Return the level of each value; NaN means no value, infinity means not finite."""
        low, high = (np.log10(self.low), np.log10(self.high)) if self.logarithmic else (
            self.low, self.high
        )  # fmt: skip
        with np.errstate(divide="ignore", invalid="ignore"):
            given = np.log10(values) if self.logarithmic else values
            place = np.clip((given - low) / ((high - low) or 1.0), 0, 1)
        found = np.where(np.isfinite(place), place * (_LEVELS - 1), 0).round().astype(np.uint8)
        if self.logarithmic:
            found[values == 0] = _ZERO
        found[np.isinf(values)] = _NOT_FINITE
        found[np.isnan(values)] = _EMPTY
        return found


def scale(values: np.ndarray, *, logarithmic: bool) -> Scale:
    """Return a scale for values: 0 to 1, or logarithmic with at most eight powers of ten."""
    if not logarithmic:
        return Scale(0.0, 1.0, logarithmic=False)
    positive = values[np.isfinite(values) & (values > 0)]
    if not positive.size:
        return Scale(1e-8, 1.0, logarithmic=True)
    low, high = float(positive.min()), float(positive.max())
    return Scale(max(low, high * 1e-8), high if high > low else low * 10, logarithmic=True)


def figure(
    title: str,
    values: np.ndarray,
    rows: Sequence[str],
    across: Sequence[str],
    format_value: Callable[[float], str],
    *,
    logarithmic: bool,
    description: str,
    square: tuple[str, str] | None = None,
    note: str = "",
) -> Html:
    """Return a heat map.

    Args:
        title: the title.
        values: [rows, columns]; NaN for no value, infinity for a value that is not finite.
        rows: names of the rows, from the top.
        across: names of the columns.
        format_value: formats a value.
        logarithmic: whether the scale is logarithmic.
        description: what the map shows, for people who cannot see it.
        square: the names of both axes, of a map with the same width and height.
        note: text below the title.
    """
    colours = scale(values, logarithmic=logarithmic)
    levels = colours.levels(values)
    picture = base64.b64encode(png(levels, _palette())).decode()
    data = {
        "rows": list(rows),
        "across": list(across),
        "levels": base64.b64encode(levels.tobytes()).decode(),
        "low": colours.low,
        "high": colours.high,
        "log": logarithmic,
    }
    legend = [
        tag("span", format_value(colours.low)),
        tag("i", class_="ramp", aria_hidden="true"),
        tag("span", format_value(colours.high)),
    ]
    for level, name in ((_ZERO, "zero"), (_NOT_FINITE, "not a number")):
        if (levels == level).any():
            swatch = tag("i", class_=f"key h-{name[:3]}", aria_hidden="true")
            legend.append(tag("span", swatch, name, class_="legend"))
    height = _height(rows)
    image = tag(
        "img",
        src=f"data:image/png;base64,{picture}",
        alt=description,
        style=None if square else f"height:{height}px",
    )
    return tag(
        "figure",
        tag(
            "figcaption",
            tag("b", title),
            tag("span", *legend, class_="scale"),
            tag("span", note, class_="quiet") if note else None,
            tag("output", class_="reading"),
        ),
        tag("div", *_bands(rows), class_="rows", aria_hidden="true") if not square else None,
        tag("div", *_names(rows, square[0]), class_="rows", aria_hidden="true") if square else None,
        tag("div", image, class_="map", data_map=json.dumps(data, separators=(",", ":"))),
        tag("div", *_ends(across), class_="x", aria_hidden="true") if not square else None,
        tag("div", *_names(across, square[1]), class_="x", aria_hidden="true") if square else None,
        class_="heat square" if square else "heat",
        style=f"--room:{_room(rows):.1f}rem" if square else None,
    )


def _names(names: Sequence[str], axis: str) -> list[Html]:
    """Return the name of an axis, and its class names if there is room for them."""
    if len(names) > _NAMED:
        return [tag("b", f"{axis}, 1 to {len(names):,}")]
    labels = [
        tag("span", name, style=f"--at:{100 * (place + 0.5) / len(names):.2f}%")
        for place, name in enumerate(names)
    ]
    return [tag("b", axis), *labels]


def _room(names: Sequence[str]) -> float:
    """Return the room for class names at an axis, in rem, with the name of the axis."""
    longest = max(map(len, names)) if len(names) <= _NAMED else 0
    return 1.9 + min(0.5 * longest, 4.8)


def _height(rows: Sequence[str]) -> int:
    """Return the height of a map, in CSS pixels."""
    return max(min(len(rows) * 5, 560), 60)


def _bands(rows: Sequence[str]) -> list[Html]:
    """Return a label for each group of rows with the same first name part, if it has room."""
    found: list[tuple[str, int, int]] = []
    for index, name in enumerate(rows):
        begin = name.split(".")[0]
        if found and found[-1][0] == begin:
            found[-1] = (begin, found[-1][1], index + 1)
        else:
            found.append((begin, index, index + 1))
    least = 14 / _height(rows)
    shown, free = [], 0.0
    for name, first, _ in found:
        top = first / len(rows)
        if top + 1e-9 >= free:
            shown.append(tag("span", name, style=f"top:{100 * top:.2f}%"))
            free = top + least
    return shown


def _ends(across: Sequence[str]) -> list[Html]:
    if len(across) < 2:
        return [tag("span", item, style="left:0%", class_="first") for item in across]
    middle = (len(across) - 1) // 2
    return [
        tag("span", across[0], style="left:0%", class_="first"),
        tag("span", across[middle], style=f"left:{100 * (middle + 0.5) / len(across):.1f}%"),
        tag("span", across[-1], style="left:100%", class_="last"),
    ]


def _palette() -> np.ndarray:
    places = np.linspace(0, len(_ANCHORS) - 1, _LEVELS)
    known = np.arange(len(_ANCHORS))
    found = np.zeros((256, 3), np.uint8)
    for channel in range(3):
        found[:_LEVELS, channel] = np.interp(places, known, _ANCHORS[:, channel]).round()
    found[_ZERO], found[_NOT_FINITE] = (150, 150, 150), (230, 40, 60)
    return found


def png(levels: np.ndarray, palette: np.ndarray) -> bytes:
    """Return a PNG (RFC 2083) of palette indices, uint8 [rows, columns]."""
    height, width = levels.shape
    rows = np.zeros((height, width + 1), np.uint8)
    rows[:, 1:] = levels
    opacity = np.full(256, 255, np.uint8)
    opacity[_EMPTY:] = 0
    parts = [
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)),
        (b"PLTE", palette.tobytes()),
        (b"tRNS", opacity.tobytes()),
        (b"IDAT", zlib.compress(rows.tobytes(), 9)),
        (b"IEND", b""),
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in parts
    )
