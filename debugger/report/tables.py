"""Tables: rows and columns with heads, figures set right, wide ones scrolling in their frame."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from debugger.report.markup import Html, tag

_UNIT = re.compile(r"(\d) (%|s|ms|µs|min|h|[kMGT]?B)(?![\w])")


@dataclass(frozen=True)
class Column:
    """A column's head; `figure` sets it right, `minor` leaves it out where the page is narrow."""

    name: str
    figure: bool = False
    minor: bool = False

    @property
    def kind(self) -> str | None:
        """Its class in the page."""
        words = [word for word in ("figure", "minor") if getattr(self, word)]
        return " ".join(words) or None


def table(
    caption: str, columns: Sequence[Column], rows: Sequence[Sequence[str]], *, stacked: bool = False
) -> Html:
    """Return a table; each row's first cell is its head.

    Where the page is narrow, cells of a `stacked` one stand below each other.
    """
    head = [tag("th", one.name, scope="col", class_=one.kind) for one in columns]
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
                tag("td", _unbroken(cell), class_=one.kind, data_head=one.name if stacked else None)
                for one, cell in zip(columns[1:], row[1:], strict=True)
            ),
        )
        for row in rows
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
    """Keep figures and their units on one line."""
    return text if isinstance(text, Html) else re.sub(_UNIT, "\\1\N{NO-BREAK SPACE}\\2", text)


def folded(summary: str, *inside: Html) -> Html:
    """Return what is shown when it is asked for; a printed page shows all of it."""
    return tag("details", tag("summary", summary), *inside)
