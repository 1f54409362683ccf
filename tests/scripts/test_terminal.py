"""Nothing that `kennel` prints controls the terminal, wherever the text came from."""

import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from PIL import Image

from scripts.aws import watch
from scripts.console import progress, terminal
from scripts.console.safe import without_escapes
from tests.scripts.kennel import kennel

CLEAR, TITLE = "\x1b[2J\x1b[1;31m", "\x1b]0;owned\x07"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"a{CLEAR}b", "ab"),
        (f"a{TITLE}b", "ab"),
        ("a\x1b]8;;http://evil\x1b\\link\x1b]8;;\x1b\\b", "alinkb"),
        ("a\x1bPq#0;2;0\x1b\\b", "ab"),  # sixel
        ("a\x9b31mb\x9d0;t\x9cc", "abc"),  # C1
        ("a\x1b(0b\x1bcd\x1b7", "abd"),
        ("a\x08\x08\rb\x07\x00\x7f", "ab"),
        ("a\x1b]0;never ended\nb", "a\nb"),
        ("a\x1b", "a"),
        ("\x1b\x1b[2J[2J", "[2J"),
        ("a\u202eb\u2066", "ab"),
        ("\udcff.png", r"\udcff.png"),
        ("a\tb\r\nc", "a\tb\nc"),
        ("Küvasz 柴犬 🐕 [bold]", "Küvasz 柴犬 🐕 [bold]"),
    ],
)
def test_escapes_are_removed(text: str, expected: str) -> None:
    assert without_escapes(text) == expected


def test_what_remains_is_never_an_escape() -> None:
    """Removing one sequence must not join the rest to another."""
    parts = ["\x1b", "[", "]", "2J", "0;x", "\x07", "\x9b", "\\", "P", "\n"]
    for one in parts:
        for two in parts:
            for three in parts:
                left = without_escapes(f"\x1b{one}{two}{three}[2J")
                assert not set(left) & {"\x1b", "\x07", "\x9b"}


def test_all_kinds_of_output_are_clean(capsys: pytest.CaptureFixture[str]) -> None:
    terminal.note(f"note {CLEAR}")
    terminal.result(f"result {TITLE}")
    terminal.table([f"column {CLEAR}"], [[f"cell {TITLE}"]], if_empty="")
    output = capsys.readouterr()
    assert output.err == "note \n"
    assert [line.rstrip() for line in output.out.splitlines()] == ["result", "column", "cell"]
    assert "\x1b" not in output.out


def test_the_reason_and_the_log_of_a_failed_job_are_clean(
    capsys: pytest.CaptureFixture[str],
) -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    watch.report_end(
        {
            "TrainingJobName": "digits",
            "TrainingJobStatus": "Failed",
            "FailureReason": f"DataError: {CLEAR}photos",
            "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1},
            "TrainingStartTime": now,
            "TrainingEndTime": now,
        },
        [f"a line{TITLE}", "\x9b2Janother"],
    )
    printed = capsys.readouterr().err
    assert "reason: DataError: photos\n" in printed
    assert "  a line\n  another\n" in printed
    assert "\x1b" not in printed


def test_names_of_folders_and_problems_are_clean(tmp_path: Path) -> None:
    for name in (f"cat{CLEAR}", "dog"):
        folder = tmp_path / name.replace("/", "")
        folder.mkdir()
        Image.new("RGB", (8, 8)).save(folder / f"{name}.png")
    (tmp_path / "dog" / f"no{TITLE}.png").write_bytes(b"no")
    for outcome in (
        kennel("data", "check", str(tmp_path)),
        kennel("data", "check", str(tmp_path / f"missing{CLEAR}")),
    ):
        assert outcome.code == 1
        assert "\x1b" not in outcome.out + outcome.err
        assert "\x07" not in outcome.out


def test_long_work_prints_a_line_now_and_then(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "LINE_EVERY_S", 0.02)
    with progress.working("looking at photos"):
        while (shown := capsys.readouterr().err).count("looking at photos") == 0:
            time.sleep(0.01)
    assert shown.splitlines()[0].endswith(" s  looking at photos")
    time.sleep(0.05)
    assert capsys.readouterr().err.count("looking") <= 1  # it ends with the work
