"""One training job while it runs: from Starting to its last status, with all its attempts.

Another attempt follows a spot interruption, and an InternalServerError if the job has a
RetryStrategy.
"""

import contextlib
import logging
import math
import time
from typing import Literal

from emulator.context import Context, now
from emulator.contract import Record
from emulator.errors import JobError
from emulator.resources import TRAINING_JOB
from emulator.runs import hosts
from emulator.runs.attempt import Attempt
from emulator.runs.hosts import Hosts
from emulator.runs.metrics import Metrics, compiled
from emulator.store.paths import remove_child

log = logging.getLogger("kennel.emulator")

INTERNAL = "InternalServerError: "
Request = Literal["stop", "interrupt"]
Outcome = Literal[
    "Completed",
    "Stopped",
    "MaxRuntimeExceeded",
    "MaxWaitTimeExceeded",
    "MaxPendingTimeExceeded",
    "Interrupted",
]


def transition(job: Record, status: str, message: str = "") -> None:
    """Set a new SecondaryStatus, and the end time of the previous one."""
    moment = now()
    transitions = job.setdefault("SecondaryStatusTransitions", [])
    if transitions:
        transitions[-1].setdefault("EndTime", moment)
    transitions.append({"Status": status, "StartTime": moment, "StatusMessage": message})
    job["SecondaryStatus"] = status


def retries_left(job: Record) -> bool:
    """Whether the job's RetryStrategy allows another attempt after an InternalServerError."""
    allowed: int = job.get("RetryStrategy", {}).get("MaximumRetryAttempts", 0)
    return bool(job.get("_retries", 0) < allowed)


class TrainingRun:
    """Runs one job whose record is already stored.

    Args:
        context: the emulator's context.
        name: the job's name.
    """

    def __init__(self, context: Context, name: str) -> None:
        job = context.records.get(TRAINING_JOB, name)
        assert job
        self._context, self._name, self._job = context, name, job
        self._engine = context.engines.for_image(job["AlgorithmSpecification"]["TrainingImage"])
        self._limits = context.settings.limits
        self._folder = context.folder("jobs", name)
        patterns = compiled(job["AlgorithmSpecification"].get("MetricDefinitions", []))
        self._metrics = Metrics(patterns, name, context.region)
        self._requests: set[Request] = set()
        self._trained_s = 0.0
        self._created = time.monotonic()
        self._attempts = 0
        self._attempt: Attempt | None = None

    def stop(self) -> None:
        """Ask the job to stop."""
        self._transition("Stopping", "Stopping the training job")
        self._requests.add("stop")

    def interrupt(self) -> None:
        """Take the spot instances away; the job starts again on new ones."""
        self._requests.add("interrupt")

    def metric_values(self, name: str) -> list[float]:
        """Return all values of a metric so far."""
        return self._metrics.values(name)

    def run(self) -> None:
        """Run the job to its end; errors become its FailureReason."""
        count = self._job["ResourceConfig"].get("InstanceCount", 1)
        try:
            with self._context.slots.take(count, lambda: bool(self._given_up())) as taken:
                outcome = self._run_attempts() if taken else self._given_up()
                assert outcome
                if self._attempt:
                    self._transition("Uploading", "Uploading generated training model")
                    self._attempt.upload(model=True)
            self._end(outcome)
        except JobError as error:
            self._fail(str(error))
        except Exception as error:
            log.exception("training job %s", self._name)
            self._fail(f"{INTERNAL}the emulator could not run the job: {error!r}")
        finally:
            remove_child(self._folder.parent, self._folder.name)

    def _given_up(self) -> Outcome | None:
        """Return how a job ends that still waits for a slot, or None if it goes on waiting.

        Raises:
            JobError: the emulator ends.
        """
        stopping, waited = self._job.get("StoppingCondition", {}), time.monotonic() - self._created
        if self._context.closing.is_set():
            raise JobError(f"{INTERNAL}the emulator was stopped while the job waited")
        if "stop" in self._requests:
            return "Stopped"
        if waited > stopping.get("MaxWaitTimeInSeconds", math.inf):
            return "MaxWaitTimeExceeded"
        if waited > stopping.get("MaxPendingTimeInSeconds", math.inf):
            return "MaxPendingTimeExceeded"
        return None

    def _run_attempts(self) -> Outcome:
        """Run attempts until one is not interrupted and needs no retry.

        Raises:
            JobError: the algorithm or the platform failed.
        """
        while True:
            try:
                outcome = self._run_once()
            except JobError as error:
                self._count_retry(str(error))
                continue
            if outcome != "Interrupted":
                return outcome
            self._transition("Interrupted", "Spot capacity was reclaimed")
            self._transition("Starting", "Launching requested ML instances again")

    def _count_retry(self, reason: str) -> None:
        """Count a retry, if the error is the platform's and one is left.

        Raises:
            JobError: there is none.
        """
        with self._context.records.change(TRAINING_JOB, self._name) as job:
            closing = self._context.closing.is_set()
            if closing or not reason.startswith(INTERNAL) or not retries_left(job):
                raise JobError(reason)
            job["_retries"] = job.get("_retries", 0) + 1
            transition(job, "Restarting", f"Retry {job['_retries']}: {reason}")

    def _run_once(self) -> Outcome:
        """Run the job's containers once, until they end or are stopped.

        Raises:
            JobError: the algorithm or the platform failed.
        """
        self._requests.discard("interrupt")
        count = self._job["ResourceConfig"].get("InstanceCount", 1)
        isolated = bool(self._job.get("EnableNetworkIsolation"))
        unique = self._context.unique(self._name)
        with (
            self._engine.network(unique, count, isolated=isolated) as network,
            contextlib.ExitStack() as removals,
        ):
            if "stop" in self._requests:
                return "Stopped"
            if not self._attempts:
                self._transition("Downloading", "Downloading input data")
            self._attempts += 1
            attempt = Attempt(self._context, self._job, self._engine, self._folder, self._attempts)
            env: dict[str, str] = {}
            if self._engine.reaches_us and not isolated:
                env = removals.enter_context(self._context.keys.issue(self._context.region))
            started = attempt.start(network, removals, env)
            self._attempt = attempt
            self._transition("Training", "Training image download completed. Training in progress.")
            with self._context.records.change(TRAINING_JOB, self._name) as job:
                job.setdefault("TrainingStartTime", now())
            start = time.monotonic()
            running = Hosts(started, self._metrics.read)
            try:
                return self._watch(attempt, running, start)
            finally:
                running.kill()
                self._trained_s += time.monotonic() - start
                self._save_metrics()
                attempt.send()

    def _watch(self, attempt: Attempt, running: Hosts, start: float) -> Outcome:
        """Wait until the containers end; obey time limits, stop requests and interruptions."""
        stopping = self._job.get("StoppingCondition", {})
        max_runtime = stopping.get("MaxRuntimeInSeconds", 86_400) - self._trained_s
        max_wait = stopping.get("MaxWaitTimeInSeconds", math.inf)
        last_sync = time.monotonic()
        while (ending := running.wait(0.1)) is None:
            moment = time.monotonic()
            if self._context.closing.is_set():
                raise JobError(f"{INTERNAL}the emulator was stopped while the job ran")
            if "stop" in self._requests:
                running.stop(self._limits.stop_grace_s)
                return "Stopped"
            if "interrupt" in self._requests:
                running.stop(self._limits.spot_notice_s)
                return "Stopped" if "stop" in self._requests else "Interrupted"
            too_long = moment - start > max_runtime
            if too_long or moment - self._created > max_wait:
                self._transition("Stopping", "A limit of the stopping condition was reached")
                running.stop(self._limits.stop_grace_s)
                return "MaxRuntimeExceeded" if too_long else "MaxWaitTimeExceeded"
            if moment - last_sync > self._limits.checkpoint_sync_s:
                attempt.send()
                self._save_metrics()
                last_sync = moment
        if ending.code:
            self._transition("Uploading", "Uploading generated training model")
            attempt.upload(model=False)
            raise JobError(hosts.reason(ending))
        return "Completed"

    def _end(self, outcome: Outcome) -> None:
        status = "Completed" if outcome == "Completed" else "Stopped"
        # The API has no secondary status of its own for a job that waited too long.
        secondary = "Stopped" if outcome == "MaxPendingTimeExceeded" else outcome
        message = {"Completed": "Training job completed", "Stopped": "Training job stopped"}
        self._finish(status, secondary, message.get(outcome, f"Training job stopped: {outcome}"))

    def _fail(self, reason: str) -> None:
        self._update(FailureReason=reason[:1024])
        self._finish("Failed", "Failed", reason[:1024])

    def _finish(self, status: str, secondary: str, message: str) -> None:
        self._save_metrics()
        seconds = math.ceil(self._trained_s)
        with self._context.records.change(TRAINING_JOB, self._name) as job:
            transition(job, secondary, message)
            job["SecondaryStatusTransitions"][-1]["EndTime"] = now()
            job["TrainingJobStatus"] = status
            job["TrainingEndTime"] = now()
            if seconds:  # the API has no zero
                job["BillableTimeInSeconds"] = job["TrainingTimeInSeconds"] = seconds

    def _save_metrics(self) -> None:
        if final := self._metrics.final():
            self._update(FinalMetricDataList=final)

    def _transition(self, status: str, message: str) -> None:
        with self._context.records.change(TRAINING_JOB, self._name) as job:
            transition(job, status, message)

    def _update(self, **fields: object) -> None:
        self._context.records.update(TRAINING_JOB, self._name, **fields)
