"""The parts of the pages without a browser: what they write, save and check."""

from pathlib import Path

import pytest

from scripts.ui import again, charts, words
from scripts.ui.tables import Cell, file_name

DIGITS = Path(__file__).parents[3] / "experiments" / "digits.toml"


def test_a_saved_cell_is_a_number_or_text_that_is_no_formula() -> None:
    assert Cell("-0.5", value=-0.5).written() == -0.5
    assert Cell("=HYPERLINK(1)").written() == "'=HYPERLINK(1)"
    assert charts._csv(("a", "=b"), [("@x", -1.5)]) == "a,'=b\r\n'@x,-1.5\r\n"


@pytest.mark.parametrize("caption", ["../../etc/passwd", "a/b\\c", "\x00", "x" * 500, "<b>"])
def test_the_name_of_a_saved_file_is_no_path(caption: str) -> None:
    name = file_name(caption)
    assert set(name) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-")
    assert 0 < len(name) <= 80


def test_times_and_money_are_written_as_people_do() -> None:
    assert [words.took(seconds) for seconds in (0, 59.4, 61, 3_725)] == [
        "0 s",
        "59 s",
        "1 min 1 s",
        "1 h 2 min",
    ]
    assert words.dollars(0.0031).text == "$0.0031"
    assert words.dollars(1234.5).text == "$1,234.50"
    assert words.dollars(None, "by use") == Cell("by use", value="")


def test_a_jobs_name_stays_one_part_of_an_address() -> None:
    assert words.address("a/../b?c") == "/jobs/a%2F..%2Fb%3Fc"
    assert words.address("t", "tuning") == "/tuning/t"


def test_an_experiment_is_checked_as_kennel_train_does() -> None:
    valid, text = again.check(DIGITS.read_text())
    assert valid
    assert text.startswith("valid. 1 training job, 1 x ml.m5.large")
    for wrong, reason in (
        ("name = ", "not TOML"),
        ('name = "x"', "role"),
        (DIGITS.read_text().replace("epochs = 3", 'epochs = "many"'), "epochs"),
        ("x" * 200_000, "at most 100,000 characters"),
        ("a = " + "[" * 5_000, "not TOML"),
    ):
        valid, text = again.check(wrong)
        assert not valid
        assert reason in text


def test_an_axis_is_logarithmic_if_the_values_span_much() -> None:
    assert charts.is_wide([0.001, 0.1])
    assert not charts.is_wide([0.0, 0.1])
    assert not charts.is_wide([1, 2, "adam"])
