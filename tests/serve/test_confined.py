"""Work in a process of its own: it ends in time, within its memory, and with a reason."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# Runs in a fresh process: `run` forks, so it must be in a process of one thread.
SCRIPT = """
import ctypes, hashlib, os, pathlib, signal, time
from serve.errors import RequestError
from serve.lane import confined

def refuse(): raise RequestError(415, "what was wrong", "how to fix it")
def fail(): raise KeyError("x")
def crash(): ctypes.string_at(0)
def killed(): os.kill(os.getpid(), signal.SIGKILL)
def exhaust(): bytearray(2**30)
def in_c(): hashlib.pbkdf2_hmac("sha256", b"a", b"b", 2**31 - 1)  # no signal handler runs in it
def sleep(): time.sleep(600)
def good(): pass

try:
    confined.run({work}, seconds=1, memory=200 * 2**20)
    print("done")
except RequestError as error:
    print(error.code, error.message)
try:
    os.waitpid(-1, os.WNOHANG)
    print("a process is left")
except ChildProcessError:
    pass
"""


def run(work: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT.replace("{work}", work)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return done.stdout.strip()


@pytest.mark.parametrize(
    ("work", "expected"),
    [
        ("good", "done"),
        ("refuse", "415 what was wrong"),
        ("fail", "500 decoding failed"),
        ("crash", "400 decoding crashed (SIGSEGV)"),
        ("killed", "422 there is not enough memory"),
        ("exhaust", "422 there is not enough memory"),
    ],
)
def test_every_end_has_its_answer(work: str, expected: str) -> None:
    assert run(work).startswith(expected)
    assert "left" not in run("good")


@pytest.mark.parametrize("work", ["in_c", "sleep"])
def test_work_in_a_c_library_is_stopped_too(work: str) -> None:
    begun = time.monotonic()
    assert run(work) == "422 decoding takes over 1 seconds"
    assert time.monotonic() - begun < 20
