"""The data of a chart: series of values, their axes, and the columns that are drawn.

If there are more points than columns, a column stands for the minimum, the median and the maximum
of its points.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

COLUMNS = 500
Formatter = Callable[[float], str]
_CLOCK = (1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1800.0, 3600.0)


@dataclass(frozen=True)
class Series:
    """Values over x, sorted by x; `colour` is a CSS variable of the page."""

    name: str
    x: np.ndarray
    y: np.ndarray
    colour: str = "a"


@dataclass(frozen=True)
class Axis:
    """The range of an axis, and the format of its numbers."""

    low: float
    high: float
    format_value: Formatter
    clock: bool = False  # ticks at whole minutes and hours
    powers: bool = False  # values are powers of ten

    def at(self, value: float) -> float:
        """Return the position of a value, 0 to 1."""
        return (value - self.low) / (self.high - self.low) if self.high > self.low else 0.5

    def ticks(self, most: int) -> list[float]:
        """Return about `most` round values."""
        span = self.high - self.low
        if span <= 0 or not math.isfinite(span):
            return [self.low]
        if self.powers:
            decades = range(math.floor(self.low), math.ceil(self.high))
            marks = [decade + math.log10(m) for decade in decades for m in (1, 2, 5)]
            return [item for item in marks if self.low <= item <= self.high]
        raw = span / most
        power = 10.0 ** math.floor(math.log10(raw))
        round_ones = [m * power for m in (1, 2, 2.5, 5, 10)]
        if self.clock and raw > 1:
            round_ones = [*_CLOCK, *(3600.0 * m for m in (2, 3, 6, 12, 24, 48, 72, 168, 336, 1e9))]
        step = next(item for item in round_ones if item >= raw * 0.999)
        first = math.ceil(self.low / step - 1e-9)
        last = math.floor(self.high / step + 1e-9)
        return [i * step for i in range(first, last + 1)]


@dataclass(frozen=True)
class Categories(Axis):
    """An axis of words, at 0, 1, 2 and so on."""

    words: tuple[str, ...] = ()

    @classmethod
    def of(cls, words: Sequence[str]) -> "Categories":
        """Return the axis of these words."""
        return cls(-0.5, len(words) - 0.5, lambda at: words[round(at)], words=tuple(words))

    def ticks(self, most: int) -> list[float]:
        """Return the place of each word, or of about `most` of them."""
        every = max(1, -(-len(self.words) // (2 * most)))
        return [float(place) for place in range(0, len(self.words), every)]


@dataclass(frozen=True)
class Marked(Axis):
    """An axis of few values, at which its ticks are."""

    marks: tuple[float, ...] = ()

    def ticks(self, most: int) -> list[float]:
        """Return the values, without those that are too close to the one before."""
        found: list[float] = []
        for mark in sorted(set(self.marks)):
            if not found or mark - found[-1] > (self.high - self.low) / (2 * most):
                found.append(mark)
        return found


@dataclass(frozen=True)
class Columns:
    """A series as it is drawn: minimum, median and maximum of each column with values."""

    x: np.ndarray
    low: np.ndarray
    mid: np.ndarray
    high: np.ndarray

    @property
    def single_values(self) -> bool:
        """Whether each column is a single value."""
        return bool(np.array_equal(self.low, self.high))


def columns(x: np.ndarray, y: np.ndarray, low: float, high: float) -> Columns:
    """Return the finite values in at most `COLUMNS` columns between two values of x."""
    keep = np.isfinite(y) & (x >= low) & (x <= high)
    x, y = np.asarray(x, np.float64)[keep], np.asarray(y, np.float64)[keep]
    if x.size <= COLUMNS:
        return Columns(x, y, y, y)
    place = np.minimum(((x - low) / (high - low) * COLUMNS).astype(int), COLUMNS - 1)
    order = np.lexsort((y, place))
    place, y, x = place[order], y[order], x[order]
    starts = np.flatnonzero(np.r_[True, np.diff(place) > 0])
    ends = np.r_[starts[1:], place.size] - 1
    middles = low + (place[starts] + 0.5) * (high - low) / COLUMNS
    return Columns(middles, y[starts], y[(starts + ends) // 2], y[ends])


def span(series: Sequence[Series], *, zero: bool = False) -> tuple[float, float]:
    """Return the range of the y axis, with a little space above."""
    finite = [item.y[np.isfinite(item.y)] for item in series]
    finite = [item for item in finite if item.size]
    if not finite:
        return 0.0, 1.0
    low = min(float(item.min()) for item in finite)
    high = max(float(item.max()) for item in finite)
    low = min(low, 0.0) if zero else low
    if high <= low:
        room = abs(high) * 0.1 or 1.0
        return (low if zero else low - room), high + room
    return low if low == 0 else low - 0.04 * (high - low), high + 0.04 * (high - low)
