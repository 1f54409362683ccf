"""Builds HTML: all text and attributes are escaped, except values of type `Html`."""

import html


class Html(str):
    """Text that is already HTML; plain `str` is escaped."""

    __slots__ = ()


def tag(name: str, /, *children: str | None, **attributes: str | float | None) -> Html:
    """Return an element.

    In attribute names, a trailing underscore is dropped (`class_`) and others become hyphens.
    Attributes and children that are None are left out.
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
    """Return the parts in sequence; plain text is escaped."""
    return Html("".join(_escaped(part) for part in parts if part is not None))


def _escaped(part: str) -> str:
    return part if isinstance(part, Html) else html.escape(part)
