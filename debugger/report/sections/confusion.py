"""The section about mistakes: the worst pairs with photos, the confusion matrix, the classes."""

import numpy as np

from debugger.report import facts
from debugger.report.analysis.gathering import Gathered
from debugger.report.drawing import heatmap
from debugger.report.drawing.markup import Html, join, tag
from debugger.report.drawing.tables import Column, folded, table
from debugger.report.wording import accuracy, count, share

_WORST = 15
_CONFUSED = 10
_MATRIX = 200
_NARROW = 40  # with more classes, the matrix is left out of narrow pages: its cells are too small
_OTHERS = 12  # further photos at most


def confusion(report: facts.Report, gathered: Gathered) -> Html:
    """Return the most confused pairs, the confusion matrix, and all classes."""
    found = report.confusion
    if found is None or gathered.confusion is None:
        return tag("p", "No confusion matrix was recorded: there was no evaluation yet.")
    worst = sorted(
        found.classes, key=lambda item: (item.recall is None, item.recall or 0.0, item.name)
    )
    columns = [
        Column("class"),
        *(Column(n, figure=True) for n in ("pictures", "recall", "precision")),
    ]
    rows = [
        [item.name, f"{item.pictures:,}", share(item.recall), share(item.precision)]
        for item in worst
    ]
    few, rest = rows[:_WORST], rows[_WORST:]
    classes = table("Classes, worst recall first", columns, few)
    more = (
        folded(f"The other {len(rest)} classes", table("Other classes", columns, rest))
        if rest
        else None
    )
    return join(
        tag("p", _intro(report, found)),
        tag(
            "div",
            tag("div", _pairs(found, report.mistakes)),
            tag("div", _matrix(gathered, found), classes, more),
            class_="pair",
        ),
    )


def _intro(report: facts.Report, found: facts.Confusion) -> str:
    pictures = f"{count(found.pictures, f'{found.split} picture'.strip())}"
    right = f"{accuracy(found.accuracy)} right"
    if found.split == "test":
        which = f" of epoch {report.best.epoch}" if report.best else ""
        return f"{pictures} at the end of the job, with the weights{which} in the bundle: {right}."
    return f"The evaluation after epoch {found.epoch + 1}: {pictures}, {right}."


def _pairs(found: facts.Confusion, mistakes: list[facts.Mistake]) -> Html:
    """Return the pairs of classes with the most wrong pictures, each with some of its photos."""
    if not found.pairs:
        return tag("p", "No picture was answered wrongly.")
    items: list[Html] = []
    shown: set[int] = set()
    for pair in found.pairs[:_CONFUSED]:
        own = [m for m in mistakes if (m.truth, m.answer) == (pair.truth, pair.answer)]
        own.sort(key=lambda item: -item.probability)
        shown.update(id(item) for item in own)
        items.append(
            tag(
                "li",
                tag("p", tag("b", pair.truth), " predicted as ", tag("b", pair.answer)),
                tag("p", f"{count(pair.pictures, 'picture')}, {share(pair.share)} of the class",
                    class_="quiet"),
                tag("div", *(_photo(item) for item in own), class_="photos") if own else None,
            )
        )  # fmt: skip
    rest = [item for item in mistakes if id(item) not in shown]
    rest.sort(key=lambda item: -item.probability)
    parts = [tag("h3", "Most often confused"), tag("ol", *items, class_="pairs")]
    if rest:
        photos = tag("div", *(_photo(item, named=True) for item in rest[:_OTHERS]), class_="photos")
        parts.append(folded("Other wrong answers, the surest first", photos))
    if mistakes:
        parts.append(
            tag("p", "Photos of at most 96 pixels, with the probability of the wrong answer.",
                class_="quiet")
        )  # fmt: skip
    return join(*parts)


def _photo(item: facts.Mistake, *, named: bool = False) -> Html:
    sure = share(item.probability)
    words = f"{item.truth}, predicted as {item.answer}" if named else ""
    return tag(
        "figure",
        tag(
            "img",
            src=f"data:image/jpeg;base64,{item.thumbnail}",
            alt=f"{item.name}: {item.truth} predicted as {item.answer}, {sure}",
            title=item.name,
        ),
        tag("figcaption", f"{words}, {sure}" if words else sure),
    )


def _matrix(gathered: Gathered, found: facts.Confusion) -> Html | None:
    record = gathered.confusion
    if record is None or not 2 <= record.classes <= _MATRIX:
        return None
    counts = np.zeros((record.classes, record.classes))
    for truth, answer, pictures in record.counts:
        counts[truth, answer] = pictures
    totals = counts.sum(1, keepdims=True)
    shares = np.where(totals > 0, counts / np.maximum(totals, 1), np.nan)
    names = [item.name for item in found.classes]
    drawn = heatmap.figure(
        "Share of each true class",
        shares,
        names,
        names,
        share,
        logarithmic=False,
        description=f"Confusion matrix of {record.classes} classes, as shares of each true class; "
        "the list next to it has the worst pairs.",
        square=("true class", "predicted class"),
    )
    return tag("div", drawn, class_="minor") if record.classes > _NARROW else drawn
