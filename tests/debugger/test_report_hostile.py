"""A report shows what a job wrote as text, and loads nothing from elsewhere."""

import dataclasses
import html.parser
from pathlib import Path

import pytest

from debugger import records
from debugger.recording import Writer
from debugger.records import End
from debugger.report.facts import Report
from tests.debugger.recorded import PHOTO, START
from tests.debugger.test_report import SMALL, small, written

__all__ = ["small"]  # a fixture


class Elements(html.parser.HTMLParser):
    """Collects the names and attributes of all elements."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.names: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]


@pytest.mark.parametrize("thumbnail", ["", "%%%", "bm8gcGljdHVyZQ==", "/9j/" + "A" * 40_000])
def test_a_thumbnail_that_is_no_small_jpeg_is_left_out(tmp_path: Path, thumbnail: str) -> None:
    with Writer(tmp_path / "recording", "algo-1", 0) as writer:
        for record in SMALL.records():
            writer.write(record)
        writer.write(records.Mistake(START + 1e5, "test", "a", 0, 9, 0.5, thumbnail))
        writer.write(records.Mistake(START + 1e5, "test", "b\udcff", 0, 9, 0.5, PHOTO))
    facts, page = written(tmp_path)
    assert [(item.name, item.answer) for item in facts.mistakes] == [("b\\udcff", "class 9")]
    assert page.count("data:image/jpeg") == 1


HOSTILE = "</script><script>alert(1)</script>\" onload='alert(2)' <img src=x onerror=alert(3)>&amp;"


def test_hostile_names_are_shown_as_text(tmp_path: Path) -> None:
    made = dataclasses.replace(SMALL, job=HOSTILE, classes=(HOSTILE, HOSTILE + "2"))
    made.write(tmp_path / "recording")
    with Writer(tmp_path / "recording", "algo-1", 0) as writer:
        writer.write(records.Note(START + 1e5, HOSTILE))
        writer.write(records.Fired(START + 1e5, HOSTILE, 1, HOSTILE, {HOSTILE: HOSTILE}))
        writer.write(records.Scalar(START + 1e5, HOSTILE, 1, 0, 1.0))
        writer.write(End(START + 1e5, "failed", HOSTILE))
    _, page = written(tmp_path)
    found = Elements(page)
    assert found.names.count("script") == 1
    assert not [name for name, _ in found.attributes if name.startswith("on")]
    assert all(value.startswith("data:") for name, value in found.attributes if name == "src")


def test_the_page_has_no_external_references(small: tuple[Report, str]) -> None:
    _, page = small
    found = Elements(page)
    for name, value in found.attributes:
        if name in ("src", "href", "data", "action", "poster", "srcset"):
            assert value.startswith(("#", "data:"))
    assert "@import" not in page
    assert "url(" not in page
    assert found.names.count("main") == 1
