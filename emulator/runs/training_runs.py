"""All training jobs: those that users create, and the trials of tuning jobs."""

import contextlib
import itertools

from emulator.context import Context, now
from emulator.contract import Record
from emulator.engines import opt_ml
from emulator.errors import Invalid, JobError
from emulator.resources import TRAINING_JOB
from emulator.runs import defaults
from emulator.runs.running import LIVE, RESTARTED, Running
from emulator.runs.training_run import TrainingRun, retries_left, transition
from emulator.store import artifacts
from emulator.store.objects import Location
from emulator.store.paths import remove_child


class TrainingRuns(Running[TrainingRun]):
    """Starts, stops and interrupts training jobs."""

    def __init__(self, context: Context) -> None:
        super().__init__(context, TRAINING_JOB)
        for _ in context.each_region():
            for job in context.records.all(TRAINING_JOB):
                if job["TrainingJobStatus"] in LIVE:
                    self._recover(job)

    def create(self, request: Record, **more: object) -> Record:
        """Store a job and start it; the request has been checked.

        Args:
            request: as for CreateTrainingJob.
            more: further members of DescribeTrainingJob.

        Raises:
            InUse: the name is taken.
        """
        job = defaults.training_job(request) | more | {"TrainingJobStatus": "InProgress"}
        transition(job, "Starting", "Preparing the instances for training")
        return self.start(job, lambda name: TrainingRun(self._context, name))

    def _recover(self, job: Record) -> None:
        """End a job that ran when the previous emulator ended, or try it again if it asks for it.

        Its RetryStrategy counts this as an InternalServerError, as SageMaker's own errors.
        """
        name = job["TrainingJobName"]
        _send_unsent(self._context, job)
        again = job["TrainingJobStatus"] == "InProgress" and retries_left(job)
        with self._context.records.change(TRAINING_JOB, name) as record:
            if again:
                record["_retries"] = record.get("_retries", 0) + 1
                transition(record, "Restarting", RESTARTED)
            else:
                transition(record, "Failed", RESTARTED)
                end = {"TrainingJobStatus": "Failed", "TrainingEndTime": now()}
                record.update(end, FailureReason=RESTARTED)
        if again:
            self.run(name, lambda: TrainingRun(self._context, name))

    def interrupt(self, name: str) -> None:
        """Interrupt a spot job, with the usual notice; it starts again.

        Raises:
            Invalid: no such job; it does not use spot instances, or is not training.
        """
        job = self._context.require(TRAINING_JOB, name)
        if not job.get("EnableManagedSpotTraining"):
            raise Invalid(f"{name} does not use managed spot training")
        if job["SecondaryStatus"] != "Training":
            raise Invalid(f"{name} is not training: it is {job['SecondaryStatus']}")
        self.get(name).interrupt()


def _send_unsent(context: Context, job: Record) -> None:
    """Upload what a job had not yet sent when its emulator was killed; delete its folder."""
    name = job["TrainingJobName"]
    folder = context.folder("jobs", name)
    attempts = [path for path in folder.glob("*") if path.name.isdecimal()]
    for attempt in sorted(attempts, key=lambda path: int(path.name))[-1:]:
        roots = sorted(attempt.glob("algo-*"))
        for root, (path, uri) in itertools.product(roots, opt_ml.synced_folders(job)):
            with contextlib.suppress(JobError):  # the bucket was deleted, or the job made a link
                source = opt_ml.host_path(root, path)
                artifacts.Sync(context.objects, source, Location.parse(uri)).send()
    remove_child(folder.parent, folder.name)
