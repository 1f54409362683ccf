"""HTML built of Python values: every text and attribute is escaped unless it is `Html` already."""

import html


class Html(str):
    """Text that is HTML; `str` is not, and is escaped where it goes into a page."""

    __slots__ = ()


def tag(name: str, /, *children: str | None, **attributes: str | float | None) -> Html:
    """Return an element.

    A trailing underscore of an attribute's name is dropped (`class_`), others become hyphens; an
    attribute that is None is left out, as are children that are None.
    """
    shown = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{html.escape(str(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    inner = join(*children)
    void = name in ("meta", "img")
    return Html(f"<{name}{shown}>" if void else f"<{name}{shown}>{inner}</{name}>")


def join(*parts: str | None) -> Html:
    """Return the parts one after another, escaped where they are text."""
    return Html("".join(_escaped(part) for part in parts if part is not None))


def _escaped(part: str) -> str:
    return part if isinstance(part, Html) else html.escape(part)
