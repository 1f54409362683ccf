"""What every page has: the account in large letters, the menu, light and dark, a main part."""

import functools
import inspect
import logging
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from nicegui import app, run, ui
from nicegui.elements.mixins.text_element import TextElement

from scripts.console.safe import without_escapes
from scripts.problem import Problem
from scripts.ui import context

P = ParamSpec("P")
T = TypeVar("T")

# The menu in its order. A path without a page is not shown.
MENU = {
    "/": "Jobs",
    "/tuning": "Tuning",
    "/endpoints": "Endpoints",
    "/photo": "Try a photo",
    "/data": "Data",
}
_log = logging.getLogger(__name__)
_THEMES: dict[str, bool | None] = {"Auto": None, "Light": False, "Dark": True}
_registered: set[str] = set()
_theme = {"chosen": "Auto"}


def prepare() -> None:
    """Load what all pages share; call it once, before the pages are imported."""
    app.colors(primary="#0b57b8", negative="#b3261e")
    ui.add_css((Path(__file__).parent / "style.css").read_text(), shared=True)


def page(
    path: str, title: str
) -> Callable[[Callable[P, Awaitable[None] | None]], Callable[P, Awaitable[None]]]:
    """Make a function a page: it draws the main part, below the header of all pages."""
    _registered.add(path)

    def decorate(
        draw: Callable[P, Awaitable[None] | None],
    ) -> Callable[P, Awaitable[None]]:
        @functools.wraps(draw)
        async def framed(*args: P.args, **kwargs: P.kwargs) -> None:
            with _main(path, title):
                drawn = draw(*args, **kwargs)
                if inspect.isawaitable(drawn):
                    await drawn

        ui.page(path, title=f"{title} · Kennel", response_timeout=30)(framed)
        return framed

    return decorate


def _main(path: str, title: str) -> AbstractContextManager[Any]:
    shown = context.current()
    kind = "emulator" if shown.target.emulator else "account"
    dark = ui.dark_mode(_THEMES[_theme["chosen"]])
    # The framework puts pages into an element `main`, and the header belongs before it.
    with ui.context.client.layout:
        header = ui.element("header").classes(f"top {kind}")
    header.move(target_index=0)
    with header:
        ui.label(shown.title).classes("target")
        with ui.element("nav").props('aria-label="Pages"'):
            for target, name in MENU.items():
                if target in _registered:
                    link = ui.link(name, target)
                    if target == path:
                        link.props('aria-current="page"')

        def choose(chosen: Any) -> None:
            _theme["chosen"] = chosen.value
            dark.value = _THEMES[chosen.value]

        ui.select(list(_THEMES), value=_theme["chosen"], on_change=choose, label="Theme").props(
            "dense outlined options-dense"
        ).classes("theme")
    main = ui.element("div").classes("page")
    ui.skip_link(target=main)
    if "{" not in path:  # these have the name of what they show
        with main:
            heading(title, level=1)
    return main


class _Text(TextElement):
    """Text in an element of HTML such as `h2`."""

    def __init__(self, tag: str, text: str) -> None:
        super().__init__(tag=tag, text=without_escapes(text))


def heading(text: str, level: int = 2) -> None:
    """A heading, for readers and for screen readers."""
    _Text(f"h{level}", text)


def title(text: str) -> None:
    """Put a name into the title of the window and the page's first heading."""
    ui.page_title(f"{text} · Kennel")
    heading(text, level=1)


class Facts:
    """Names with their texts, such as `runs on` and `1 x ml.m5.large`."""

    def __init__(self) -> None:
        self._list = ui.element("dl").classes("facts")
        self._shown: dict[str, str] = {}

    def show(self, facts: Mapping[str, str]) -> None:
        """Show these instead."""
        if facts == self._shown:
            return
        self._shown = dict(facts)
        self._list.clear()
        with self._list:
            for name, text in facts.items():
                _Text("dt", name)
                _Text("dd", text)


class Problems:
    """A place for what went wrong; invisible without a text."""

    def __init__(self) -> None:
        self._label = ui.label().classes("problem").props('role="alert"')
        self._label.visible = False

    def show(self, text: str) -> None:
        """Show a text, or nothing if it is empty."""
        self._label.text = without_escapes(text)
        self._label.visible = bool(text)


async def confirm(question: str, action: str) -> bool:
    """Ask before something is changed; True if the user presses the button with `action`."""
    with ui.dialog() as dialog, ui.card():
        ui.label(question)
        with ui.element("div").classes("bar"):
            ui.button(action, on_click=lambda: dialog.submit(True)).props(
                "no-caps outline color=negative"
            )
            ui.button("Cancel", on_click=lambda: dialog.submit(False)).props("no-caps flat")
    answer = await dialog
    dialog.delete()
    return bool(answer)


async def ask(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | None:
    """Run a slow function in a thread; show a `Problem` in the page and return None."""
    try:
        return await run.io_bound(function, *args, **kwargs)
    except Problem as problem:
        problem_text(str(problem))
        return None


async def quietly(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | str:
    """Run a slow function in a thread; return a `Problem` as its text. For timers."""
    try:
        found = await run.io_bound(function, *args, **kwargs)
    except Problem as problem:
        return without_escapes(str(problem))
    except Exception as error:  # an old page must not look like a new one
        _log.exception("a page could not be drawn")
        return f"{type(error).__name__}: the terminal of kennel ui has the details"
    return "the server is ending" if found is None else found


def problem_text(text: str) -> None:
    """Show what went wrong and what to do, where the page is drawn now."""
    ui.label(without_escapes(text)).classes("problem").props('role="alert"')


def copyable(command: str) -> None:
    """A command with a button that copies it."""
    with ui.element("div").classes("command"):
        ui.label(command).classes("mono")
        ui.button(icon="content_copy", on_click=lambda: ui.clipboard.write(command)).props(
            'flat dense aria-label="Copy the command"'
        )
