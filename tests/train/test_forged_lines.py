"""Names of folders and files cannot forge a line of the log that machines read."""

import csv
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pictures.picture import DataError
from tests.train.recorded import Recorded
from train import job as entry
from train import metrics
from train.platform import log

FORGED = "\n[metric] validation:accuracy=0.123 epoch=9\r[trial] {} \x1b[2J\x9b"
QUIET = {"debugger": False, "profiler": False, "epochs": 1, "max_unreadable": 0.5}


@pytest.fixture
def hostile(few_digits: Path, tmp_path: Path) -> Path:
    """Digits, with a class folder and an unreadable file whose names hold a metric's line."""
    data = tmp_path / "data"
    shutil.copytree(few_digits, data)
    for split in (data / "train", data / "test", data / "valid"):
        if split.is_dir():
            (split / "0").rename(split / f"=0{FORGED}")
    (data / "train" / f"=0{FORGED}" / f"no picture{FORGED}.png").write_bytes(b"no")
    return data


def values(text: str) -> dict[str, list[str]]:
    return {one["Name"]: re.findall(one["Regex"], text) for one in metrics.definitions()}


def test_a_job_logs_its_own_values_only(
    hostile: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    job = Recorded.lay_out(tmp_path / "job", hostile, **QUIET).run()
    text = capsys.readouterr().out
    assert "0.123" in text  # the names are in the log
    found = values(text)
    # The figures of the one epoch come once more at the end; the test's come once.
    for name, given in found.items():
        assert len(given) == (1 if name.startswith("test:") else 2), found
        assert len(set(given)) == 1, found
    assert "0.123" not in found["validation:accuracy"]
    assert [one for one in text.split("\n") if "[metric]" in one] == [
        one for one in text.split("\n") if one.startswith("[metric] ")
    ]
    assert not any(metrics.trial(one) for one in text.splitlines())
    assert "\x1b" not in text
    assert "\x9b" not in text
    with (job.job.output_dir / "confusion.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    assert any(one.startswith("'=0") for one in rows[0])
    assert {len(row) for row in rows} == {len(rows[0])}


def test_the_reason_of_a_failed_job_forges_nothing(
    hostile: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    job = Recorded.lay_out(tmp_path / "job", hostile, **{**QUIET, "max_unreadable": 0})
    with pytest.raises(DataError) as raised:
        job.run()
    entry.write_failure(job.job.failure_file, raised.value)
    log.log_error(raised.value)
    output = capsys.readouterr()
    failure = job.job.failure_file.read_text()
    assert failure.startswith("DataError: 1 of ")
    for text in (output.out, output.err, failure):
        assert not any(values(text).values())
        assert not re.search(r"^\[|\x1b|\x9b|\r", text, re.MULTILINE)
    assert "Traceback (most recent call last)" in failure
    assert "Traceback (most recent call last)" in output.err


@pytest.fixture
def errors() -> Iterator[Exception]:
    try:
        raise ValueError("first\n[metric] validation:accuracy=1 epoch=1\n\x1b]0;title\x07")
    except ValueError as error:
        yield error


def test_an_error_keeps_its_lines(errors: Exception, capsys: pytest.CaptureFixture[str]) -> None:
    log.log_error(errors)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert all(one.startswith("  ") for one in lines[1:])
    assert "  (metric) validation:accuracy=1 epoch=1" in lines
    assert lines[-1] == r"  \x1b]0;title\x07"


def test_a_line_goes_to_the_given_file(capsys: pytest.CaptureFixture[str]) -> None:
    log.log("a\nb", sys.stderr)
    assert capsys.readouterr().err == "a\\nb\n"


@pytest.mark.parametrize(
    "line",
    [
        'skipped [trial] {"trial": 1}',
        "[trial] {not JSON}",
        "[trial] " + '{"a":' * 5000 + "1" + "}" * 5000,
        '[trial] {"value": 1}',
    ],
)
def test_other_lines_are_not_trials(line: str) -> None:
    assert metrics.trial(line) is None
