"""Markdown as a reader's program shows it: GitHub's tables, and links that are found in text."""

from html.parser import HTMLParser
from pathlib import Path

from markdown_it import MarkdownIt


class Page(HTMLParser):
    """The elements of a page, and the text in them."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.html = html
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.headings: list[str] = []
        self.cells: list[list[str]] = []
        self._inside = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag in ("h1", "h2", "h3"):
            self.headings.append("")
        if tag == "tr":
            self.cells.append([])
        if tag in ("td", "th"):
            self.cells[-1].append("")
        if tag in ("h1", "h2", "h3", "td", "th"):
            self._inside = tag

    def handle_endtag(self, tag: str) -> None:
        if tag == self._inside:
            self._inside = ""

    def handle_data(self, data: str) -> None:
        self.text += data
        if self._inside in ("td", "th"):
            self.cells[-1][-1] += data
        elif self._inside:
            self.headings[-1] += data

    def all(self, tag: str, attribute: str) -> list[str | None]:
        return [about.get(attribute) for name, about in self.tags if name == tag]


def page(file: Path) -> Page:
    """Read a file as Markdown in which HTML works, as in the most careless renderer."""
    reader = MarkdownIt("commonmark", {"html": True}).enable("table")
    return Page(reader.render(file.read_text(encoding="utf-8")))
