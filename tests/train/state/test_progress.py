"""Progress is a bar in a terminal and plain lines in a log."""

import os
import pty
import select
import subprocess
import sys
import termios

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
