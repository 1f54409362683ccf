"""The supervisor's view of the workers: which are healthy, which to kill, what they have done."""

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

# The heartbeat is written every second; without one for this long a process is stopped or starved.
_SILENT_S = 10.0
# How long a worker over its memory limit can finish its batch, unless it is far over it: under load
# it is hardly ever seen between two batches, and a leak goes on growing.
_GRACE_S = 10.0
_FAR_OVER = 2
# More deaths than this while loading are not an accident.
_MAX_LOADING_DEATHS = 3


class WorkersError(Exception):
    """The workers cannot be kept alive; the message says why."""


class Workers:
    """All worker processes of one server.

    Args:
        directory: of their reports.
        settings: the limits.
    """

    def __init__(self, directory: Path, settings: Settings) -> None:
        self._directory = directory
        self._settings = settings
        self._limit = settings.worker_memory
        self._work_of_dead = Work()
        self._lost = 0
        self._loading_deaths = 0
        self._over_limit_since: dict[int, float] = {}

    def healthy(self) -> list[WorkerReport]:
        """Return the workers that replayed the golden inputs, are alive and are not stuck."""
        now = time.monotonic()
        return [one for one in self.alive() if self._stuck(one.pid, now) is None]

    def alive(self) -> list[WorkerReport]:
        """Return the workers that replayed the golden inputs and are alive, even if stuck."""
        return [one for one in health.reports(self._directory) if one.alive and not one.refusal]

    def _stuck(self, pid: int, now: float) -> str | None:
        beat = heartbeat.read(self._directory, pid)
        if beat is None:
            return None
        if beat.busy_s(now) > self._settings.hung_s:
            return f"has worked on one step of a batch for over {self._settings.hung_s} s"
        if beat.silent_s(now) > min(_SILENT_S, self._settings.hung_s):
            return "shows no sign of life"
        return None

    def maintain(self) -> None:
        """Kill stuck and oversize workers, and count those that died.

        The model server starts a new one for each.

        Raises:
            WorkersError: one process after another dies while it loads.
        """
        now = time.monotonic()
        for one in self.alive():
            reason = self._stuck(one.pid, now) or self._oversize(one.pid, now)
            if reason:
                log.warning("killing worker %d: it %s", one.pid, reason)
                _kill(one.pid)
        for pid in health.died_loading(self._directory):
            self._loading_deaths += 1
            log.warning("worker %d died while loading", pid)
        for pid in health.remove_dead(self._directory):
            self._work_of_dead += self._work(pid)
            self._lost += 1
            heartbeat.remove(self._directory, pid)
        if self.alive():
            self._loading_deaths = 0
        if self._loading_deaths > _MAX_LOADING_DEATHS:
            raise WorkersError(
                f"{self._loading_deaths} workers died while loading, without a reason: was there "
                "enough memory? Their last lines are above"
            )

    def kill_children_of(self, launcher: tuple[int, int | None]) -> None:
        """Kill the workers that a process, now dead, had started."""
        for one in self.alive():
            if one.launcher == launcher:
                _kill(one.pid)

    def _oversize(self, pid: int, now: float) -> str | None:
        size, limit = processes.resident_bytes(pid), self._limit
        if size <= limit:
            self._over_limit_since.pop(pid, None)
            return None
        since = self._over_limit_since.setdefault(pid, now)
        beat = heartbeat.read(self._directory, pid)
        has_grace = now - since < _GRACE_S and size < _FAR_OVER * limit
        if beat and beat.busy_since and has_grace:
            return None
        return f"uses {size >> 20} MiB, over the limit of {limit >> 20} MiB"

    def snapshot(self, *, healthy: bool) -> Snapshot:
        """Return the current metrics.

        Args:
            healthy: what `/ping` answers.
        """
        alive = self.alive()
        work = self._work_of_dead
        for one in alive:
            work += self._work(one.pid)
        memory = sum(processes.resident_bytes(one.pid) for one in alive)
        return Snapshot(work, len(self.healthy()), self._lost, memory, healthy)

    def _work(self, pid: int) -> Work:
        beat = heartbeat.read(self._directory, pid)
        return beat.work if beat else Work()


def _kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
