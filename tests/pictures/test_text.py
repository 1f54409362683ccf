"""Text of strangers on one line, in a terminal and in a spreadsheet."""

import csv
import io

import pytest

from pictures.picture import shorten
from pictures.text import cell, printable


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a\nb", r"a\nb"),
        ("a\r\nb\tc", r"a\r\nb\tc"),
        ("\x1b[2J", r"\x1b[2J"),
        ("\x00\x07\x7f", r"\x00\x07\x7f"),
        ("\x85\x9b31m", r"\x85\x9b31m"),  # C1: a newline, and an escape sequence of one byte
        ("a\u2028b\u2029", r"a\u2028b\u2029"),
        ("\u202egpj.exe", r"\u202egpj.exe"),
        ("\udcff.png", r"\udcff.png"),  # a name that is not UTF-8
    ],
)
def test_control_characters_are_escaped(text: str, expected: str) -> None:
    assert printable(text) == expected
    assert len(printable(text).splitlines()) == 1
    printable(text).encode()


@pytest.mark.parametrize("text", ["", "Dobermann", "Küvasz", "柴犬 (red)", "كلب", "🐕", r"C:\new"])
def test_names_of_people_stay_as_they_are(text: str) -> None:
    assert printable(text) == text
    assert cell(text) == text


def test_a_list_of_names_is_one_line() -> None:
    assert shorten(["a\n[metric] b", "c"]) == r"a\n[metric] b, c"


@pytest.mark.parametrize(
    "text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", '=HYPERLINK("x")', "\uff1d1"]
)
def test_a_spreadsheet_does_not_run_a_cell(text: str) -> None:
    buffer = io.StringIO()
    csv.writer(buffer).writerow([cell(text), -1.5])
    ((written, number),) = csv.reader(io.StringIO(buffer.getvalue()))
    assert written == f"'{printable(text)}"
    assert number == "-1.5"
