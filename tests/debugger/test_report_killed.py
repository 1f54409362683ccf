"""`kill -9` at a random moment: everything written is in the recording, and the report says so."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from debugger.report import write

pytestmark = pytest.mark.slow

TIMES = 50


def test_the_report_of_a_killed_job_says_so(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.debugger.killed", str(tmp_path), str(TIMES)],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        # The process forks, so numpy must not start threads.
        env=os.environ | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
    )
    steps = [int(line) for line in done.stdout.split()]
    assert len(steps) == TIMES
    assert max(steps) > 0
    for number, step in enumerate(steps):
        page = tmp_path / f"{number}.html"
        facts = write(tmp_path / str(number), page, settings={})
        assert facts.job.status == "ended abruptly"
        # The next step can be in the recording too, if the kill came before its report.
        assert (facts.job.last_step if facts.job.last_step is not None else -1) in (step, step + 1)
        assert "The job ended abruptly" in page.read_text()
