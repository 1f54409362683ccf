"""The jobs of one kind while they run, each in its own thread."""

import threading
from collections.abc import Callable, Iterator
from typing import Generic, Protocol, TypeVar

from emulator import region
from emulator.context import Context, now
from emulator.contract import Record
from emulator.resources import Resource

LIVE = ("InProgress", "Stopping")
RESTARTED = (
    "InternalServerError: We encountered an internal error. Please try again. "
    "(The emulator ended while this job ran.)"
)


class Run(Protocol):
    """One job while it runs."""

    def run(self) -> None:
        """Run the job to its end; errors become the job's FailureReason."""

    def stop(self) -> None:
        """Ask the job to stop."""


R = TypeVar("R", bound=Run)


class Running(Generic[R]):
    """Starts and stops jobs.

    Args:
        context: the emulator's context.
        resource: the kind of job.
    """

    def __init__(self, context: Context, resource: Resource) -> None:
        self._context, self._resource = context, resource
        self._lock = threading.Lock()
        self._runs: dict[str, R] = {}
        self._threads: list[threading.Thread] = []

    def start(self, record: Record, make: Callable[[str], R]) -> Record:
        """Store a job and run it in a new thread; return its ARN, as Create operations answer.

        Args:
            record: the job.
            make: makes the run from the name of the stored job.

        Raises:
            ApiError: the name is taken.
        """
        name = record[self._resource.name_key]
        with self._lock:  # `stop` sees a stored job only with its run
            answer = self._context.create(self._resource, record)
            self._run(name, make(name))
        return answer

    def run(self, name: str, make: Callable[[], R]) -> None:
        """Run a job that is already stored, in a new thread."""
        with self._lock:
            self._run(name, make())

    def _run(self, name: str, run: R) -> None:
        self._runs[self._context.unique(name)] = run
        thread = region.thread(run.run, name=f"{self._resource.kind} {name}")
        self._threads = [other for other in self._threads if other.is_alive()] + [thread]
        thread.start()

    def get(self, name: str) -> R:
        """Return a job that was started since the emulator started."""
        return self._runs[self._context.unique(name)]

    def stop(self, name: str) -> str:
        """Ask a job to stop, if it is in progress; return the status that it had.

        Raises:
            ApiError: no such job.
        """
        key = self._resource.status_key
        with self._lock:
            status: str = self._context.require(self._resource, name)[key]
            if status == "InProgress":
                with self._context.records.change(self._resource, name) as job:
                    status = job[key]
                    if status == "InProgress":  # it may have ended just now
                        job[key] = "Stopping"
                        self._runs[self._context.unique(name)].stop()
        return status

    def close(self) -> None:
        """Wait until all jobs have ended. The context's `closing` must be set."""
        with self._lock:
            threads = list(self._threads)
        for thread in threads:
            thread.join()


def fail_unfinished(context: Context, resource: Resource) -> Iterator[Record]:
    """Mark jobs that ran when the previous emulator ended as Failed; yield each, in its region."""
    for _ in context.each_region():
        for job in context.records.all(resource):
            if job[resource.status_key] not in LIVE:
                continue
            end = {resource.status_key: "Failed", resource.end_key: now()}
            context.records.update(resource, job[resource.name_key], **end, FailureReason=RESTARTED)
            yield job
