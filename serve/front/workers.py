"""The supervisor's eye on the workers: which are well, which must go, and what they have done."""

import contextlib
import logging
import os
import signal
import time
from pathlib import Path

from serve.front import health, heartbeat, processes
from serve.front.health import WorkerReport
from serve.front.heartbeat import Work
from serve.front.metrics import Snapshot
from serve.settings import Settings

log = logging.getLogger("kennel")

# A process that shows nothing for so long is stopped or starved; it beats every second.
_SILENT_S = 10.0
# How long a worker that has grown too large is waited for to be idle.
_PATIENCE_S = 10.0
# More processes than this that end while loading are no mishap.
_MOST_LOADING_DEATHS = 3


class WorkersError(Exception):
    """The workers cannot be kept alive; the message says why."""


class Workers:
    """All worker processes of one server.

    Args:
        directory: where they report.
        settings: the limits.
    """

    def __init__(self, directory: Path, settings: Settings) -> None:
        self._directory = directory
        self._settings = settings
        self._limit = settings.worker_memory
        self._past = Work()  # of those that are gone
        self._lost = 0
        self._loading_deaths = 0
        self._too_large: dict[int, float] = {}  # since when

    def well(self) -> list[WorkerReport]:
        """Return those that replayed the golden inputs, live, and are not stuck."""
        now = time.monotonic()
        return [one for one in self._alive() if self._stuck(one.pid, now) is None]

    def alive(self) -> bool:
        """Say whether there is one, well or not."""
        return bool(self._alive())

    def _alive(self) -> list[WorkerReport]:
        return [one for one in health.reports(self._directory) if one.alive and not one.refusal]

    def _stuck(self, pid: int, now: float) -> str | None:
        beat = heartbeat.read(self._directory, pid)
        if beat is None:
            return None
        if beat.busy_s(now) > self._settings.hung_s:
            return f"works on one batch for over {self._settings.hung_s} s"
        if beat.silent_s(now) > min(_SILENT_S, self._settings.hung_s):
            return "shows no sign of life"
        return None

    def tend(self) -> None:
        """End those that are stuck or too large, and note those that are gone.

        The model server starts another in the place of each.

        Raises:
            WorkersError: one process after another ends while it loads.
        """
        now = time.monotonic()
        for one in self._alive():
            reason = self._stuck(one.pid, now) or self._outgrown(one.pid, now)
            if reason:
                log.warning("worker %d %s: ending it", one.pid, reason)
                with contextlib.suppress(ProcessLookupError):
                    os.kill(one.pid, signal.SIGKILL)
        for pid in health.died_loading(self._directory):
            self._loading_deaths += 1
            log.warning("worker %d died while loading", pid)
        for pid in health.forget_dead(self._directory):
            beat = heartbeat.read(self._directory, pid)
            self._past += beat.work if beat else Work()
            self._lost += 1
            heartbeat.forget(self._directory, pid)
        if self._alive():
            self._loading_deaths = 0
        if self._loading_deaths > _MOST_LOADING_DEATHS:
            raise WorkersError(
                f"{self._loading_deaths} workers died while loading and left no reason: was there "
                "enough memory? Their last lines are above"
            )

    def end_those_of(self, parent: tuple[int, int | None]) -> None:
        """End the workers that came by way of a process which is gone."""
        for one in self._alive():
            if (one.parent, one.parent_born) == parent:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(one.pid, signal.SIGKILL)

    def _outgrown(self, pid: int, now: float) -> str | None:
        size, limit = processes.memory(pid), self._limit
        if size <= limit:
            self._too_large.pop(pid, None)
            return None
        since = self._too_large.setdefault(pid, now)
        beat = heartbeat.read(self._directory, pid)
        if beat and beat.busy_since and now - since < _PATIENCE_S:
            return None
        return f"has {size >> 20} MiB, over {limit >> 20} MiB,"

    def snapshot(self, *, healthy: bool) -> Snapshot:
        """Return the numbers for whoever watches.

        Args:
            healthy: what `/ping` says.
        """
        alive = self._alive()
        work = self._past
        for one in alive:
            beat = heartbeat.read(self._directory, one.pid)
            work += beat.work if beat else Work()
        memory = sum(processes.memory(one.pid) for one in alive)
        return Snapshot(work, len(self.well()), self._lost, memory, healthy)
