"""`kill -9` at a random moment, 50 times: what was written is there, and the report says so."""

import os
import subprocess
import sys
from pathlib import Path

from debugger.report import write

TIMES = 50


def test_a_killed_job_has_a_report_that_says_so(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.debugger.killed", str(tmp_path), str(TIMES)],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        # It forks: numpy's threads must not be there.
        env=os.environ | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
    )
    told = [int(line) for line in done.stdout.split()]
    assert len(told) == TIMES
    assert max(told) > 0
    for number, step in enumerate(told):
        page = tmp_path / f"{number}.html"
        facts = write(tmp_path / str(number), page, settings={})
        assert facts.job.status == "ended abruptly"
        # The step after may have been written, and the kill come before it was told.
        assert (facts.job.last_step if facts.job.last_step is not None else -1) in (step, step + 1)
        assert "The job ended abruptly" in page.read_text()
