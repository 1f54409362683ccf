"""Tables: numbers are aligned right, and wide tables scroll in their frame."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from debugger.report.drawing.markup import Html, tag

_UNIT = re.compile(r"(\d) (%|s|ms|µs|min|h|[kMGT]?B)(?![\w])")


@dataclass(frozen=True)
class Column:
    """The head of a column; `figure` aligns it right, `minor` hides it on narrow pages."""

    name: str
    figure: bool = False
    minor: bool = False

    @property
    def kind(self) -> str | None:
        """Its CSS classes."""
        words = [word for word in ("figure", "minor") if getattr(self, word)]
        return " ".join(words) or None


def table(
    caption: str,
    columns: Sequence[Column],
    rows: Sequence[Sequence[str]],
    *,
    stacked: bool = False,
    marked: int | None = None,
) -> Html:
    """Return a table; the first cell of each row is its head.

    On narrow pages, a `stacked` table shows the cells of a row below each other. The row `marked`
    is the best one.
    """
    head = [tag("th", item.name, scope="col", class_=item.kind) for item in columns]
    body = [
        tag(
            "tr",
            tag(
                "th",
                _unbroken(row[0]),
                scope="row",
                class_=columns[0].kind,
                data_head=columns[0].name if stacked else None,
            ),
            *(
                tag(
                    "td",
                    _unbroken(cell),
                    class_=item.kind,
                    data_head=item.name if stacked else None,
                )
                for item, cell in zip(columns[1:], row[1:], strict=True)
            ),
            class_="best" if index == marked else None,
        )
        for index, row in enumerate(rows)
    ]
    made = tag(
        "table",
        tag("caption", caption),
        tag("thead", tag("tr", *head)),
        tag("tbody", *body),
        class_="stacked" if stacked else None,
    )
    return tag("div", made, class_="table", tabindex="0", role="region", aria_label=caption)


def _unbroken(text: str) -> str:
    """Keep numbers and their units on one line."""
    return text if isinstance(text, Html) else re.sub(_UNIT, "\\1\N{NO-BREAK SPACE}\\2", text)


def folded(summary: str, *inside: Html) -> Html:
    """Return an element that opens on a click; a printed page shows its content."""
    return tag("details", tag("summary", summary), *inside)
