"""Progress is a bar in a terminal and plain lines in a log."""

import io
import os
import pty
import select
import subprocess
import sys
import termios
import time

import pytest

from train.state import progress

SCRIPT = """
from train.state import progress
progress.EVERY_SECONDS = 0.0
seen = list(progress.follow(iter("abc"), "epoch 1/2", done=1, total=4, show=True))
assert seen == ["a", "b", "c"]
"""


def test_a_log_gets_plain_lines() -> None:
    result = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True
    )
    lines = result.stdout.splitlines()
    assert [line.split(",")[0] for line in lines] == [
        "epoch 1/2: batch 2 of 4",
        "epoch 1/2: batch 3 of 4",
        "epoch 1/2: batch 4 of 4",
    ]
    assert "\r" not in result.stdout + result.stderr


def test_the_whole_job_is_counted(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three epochs of ten batches of a second each, the first continued after five batches."""
    now = 0.0
    monkeypatch.setattr(progress, "EVERY_SECONDS", 0.0)
    monkeypatch.setattr(time, "monotonic", lambda: now)
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    whole = progress.Whole(3)
    for epoch, done in enumerate((5, 0, 0)):
        batches = iter(range(done, 10))
        title = f"epoch {epoch + 1}/3"
        for _ in progress.follow(batches, title, done=done, total=10, show=True, whole=whole):
            now += 1.0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "epoch 1/3: batch 6 of 10, 4 s left; about 24 s left in all"
    assert lines[5] == "epoch 2/3: batch 1 of 10, 9 s left; about 19 s left in all"
    assert lines[-1] == "epoch 3/3: batch 10 of 10, 0 s left; about 0 s left in all"
    assert len(lines) == 25


def test_time_is_said_in_words() -> None:
    assert [progress._words(n) for n in (5.2, 89, 240, 7500)] == [
        "5 s",
        "89 s",
        "4 min",
        "2 h 5 min",
    ]


def test_a_terminal_gets_a_bar() -> None:
    controller, terminal = pty.openpty()
    termios.tcsetwinsize(terminal, (24, 80))  # a new terminal has no rows to draw in
    result = subprocess.run(
        [sys.executable, "-c", SCRIPT], stdout=subprocess.PIPE, stderr=terminal, check=True
    )
    drawn = ""  # read piece by piece, before the terminal is closed
    while "epoch 1/2" not in drawn and select.select([controller], [], [], 60)[0]:
        drawn += os.read(controller, 65536).decode()
    os.close(terminal)
    os.close(controller)
    assert "epoch 1/2" in drawn
    assert "\r" in drawn
    assert result.stdout == b""


def test_other_processes_show_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(progress.follow([1, 2], "x", done=0, total=2, show=False)) == [1, 2]
    captured = capsys.readouterr()
    assert captured.out + captured.err == ""
