"""Runs the check of the page "Data" in a process of its own, which can be cancelled."""

import contextlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from typing import Any

from scripts.problem import Problem

# Characters of a line that the process prints; the last one has the samples.
_LONGEST_LINE = 64 * 2**20


class Check:
    """One check; `done` of `of` pictures are read."""

    def __init__(self, channels: Mapping[str, str], spec: str) -> None:
        self._request = json.dumps({"channels": dict(channels), "spec": spec})
        self._process: subprocess.Popen[str] | None = None
        self._is_cancelled = False
        self.done = self.of = 0

    def run(self) -> dict[str, Any] | None:
        """Check, and return what was found; None if it was cancelled.

        Raises:
            Problem: the check cannot be made.
        """
        with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as log:
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "scripts.ui.photos.looking"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                encoding="utf-8",
            )
            self._process = process
            try:
                answer = self._follow(process)
            finally:
                self._end(process)
            if self._is_cancelled:
                return None
            if "problem" in answer:
                raise Problem(str(answer["problem"]))
            if "found" not in answer:
                log.seek(0)
                last = "\n".join(log.read()[-100_000:].splitlines()[-3:])
                raise Problem(f"the check ended early ({process.returncode}): {last}")
            found: dict[str, Any] = answer["found"]
            return found

    def _follow(self, process: "subprocess.Popen[str]") -> dict[str, Any]:
        """Read the lines of the process; return the last one, or nothing if it was cut off."""
        assert process.stdin
        assert process.stdout
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(self._request)
            process.stdin.close()
        while line := process.stdout.readline(_LONGEST_LINE):
            if not line.endswith("\n"):
                break
            answer: dict[str, Any] = json.loads(line)
            if "done" not in answer:
                return answer
            self.done, self.of = int(answer["done"]), int(answer["of"])
        return {}

    def cancel(self) -> None:
        """End the process."""
        self._is_cancelled = True
        if self._process:
            self._process.terminate()

    def _end(self, process: "subprocess.Popen[str]") -> None:
        if process.stdout:
            process.stdout.close()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
