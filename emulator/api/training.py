"""Training jobs in the API: create, describe, list, stop, and have a spot instance taken away."""

import threading

from emulator import contract
from emulator.api.listing import page
from emulator.context import Context, Operations, now
from emulator.contract import Record
from emulator.errors import InUse, Invalid, NotFound
from emulator.runs import synced
from emulator.runs.metrics import Metrics
from emulator.runs.training_run import KIND, LIVE, TrainingRun, transition

_RESTARTED = (
    "InternalServerError: We encountered an internal error. Please try again. "
    "(The emulator ended while this job ran.)"
)

_DEBUGGER = (
    "DebugHookConfig",
    "DebugRuleConfigurations",
    "ProfilerConfig",
    "ProfilerRuleConfigurations",
)


class TrainingJobs:
    """The operations on training jobs, and the threads that run them."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._lock = threading.Lock()
        self._runs: dict[str, tuple[TrainingRun, threading.Thread]] = {}
        for job in context.records.all(KIND):
            if job["TrainingJobStatus"] in LIVE:
                synced.rescue(context, job)
                with context.records.change(KIND, job["TrainingJobName"]) as left:
                    transition(left, "Failed", _RESTARTED)
                    left |= {
                        "TrainingJobStatus": "Failed",
                        "FailureReason": _RESTARTED,
                        "TrainingEndTime": now(),
                    }

    def operations(self) -> Operations:
        """Return what this answers."""
        return {
            "CreateTrainingJob": self.create,
            "DescribeTrainingJob": self.describe,
            "ListTrainingJobs": self.list_jobs,
            "StopTrainingJob": self.stop,
        }

    def create(self, request: Record, *, tuning_arn: str = "") -> Record:
        """Start a job.

        Raises:
            Invalid, InUse: as SageMaker does.
        """
        name = request["TrainingJobName"]
        _refuse(request)
        asked = [key for key in _DEBUGGER if key in request]
        if asked and not self._context.settings.debugger:
            raise Invalid(f"{asked[0]}: SageMaker Debugger is not available to this account")
        Metrics(request["AlgorithmSpecification"].get("MetricDefinitions", []))
        arn = self._context.settings.arn(KIND, name)
        job = request | {"TrainingJobArn": arn, "TrainingJobStatus": "InProgress"}
        if tuning_arn:
            job["TuningJobArn"] = tuning_arn
        for kind in ("Debug", "Profiler"):
            if rules := request.get(f"{kind}RuleConfigurations", []):
                job[f"{kind}RuleEvaluationStatuses"] = [_not_run(rule) for rule in rules]
        transition(job, "Starting", "Preparing the instances for training")
        if not self._context.records.add(KIND, name, job):
            raise InUse(
                "Training job names must be unique within an AWS account and region, but a "
                f"training job with the name {name} already exists for this account and region"
            )
        run = TrainingRun(self._context, name)
        thread = threading.Thread(target=run.live, name=f"training {name}", daemon=True)
        with self._lock:
            self._runs[name] = (run, thread)
        thread.start()
        return {"TrainingJobArn": arn}

    def describe(self, request: Record) -> Record:
        """Return a job."""
        return self._context.need(
            KIND, request["TrainingJobName"], said="Requested resource not found."
        )

    def list_jobs(self, request: Record) -> Record:
        """Return summaries, newest first unless asked otherwise."""
        chosen, more = page(
            self._context.records.all(KIND),
            request,
            name="TrainingJobName",
            status="TrainingJobStatus",
        )
        summaries = [contract.members("TrainingJobSummary", job) for job in chosen]
        return {"TrainingJobSummaries": summaries} | more

    def stop(self, request: Record) -> Record:
        """Ask a job to stop.

        Raises:
            Invalid: there is none, or it has ended.
        """
        name = request["TrainingJobName"]
        self.describe(request)
        with self._context.records.change(KIND, name) as job:  # it may be about to end
            status = job["TrainingJobStatus"]
            if status == "InProgress":
                job["TrainingJobStatus"] = "Stopping"
                transition(job, "Stopping", "Stopping the training job")
                self._runs[name][0].ask("stop")
        if status not in LIVE:
            raise Invalid(
                f"The request was rejected because the training job is in status {status}."
            )
        return {}

    def metric_values(self, name: str, metric: str) -> list[float]:
        """Return all values of a metric that a job, run since the start, has reported so far."""
        return self._runs[name][0].metric_values(metric)

    def interrupt(self, name: str) -> None:
        """Take a spot job's instances away, with notice; it starts again.

        Raises:
            NotFound, Invalid: no such job; one that is not on spot, or does not run.
        """
        job = self._context.records.get(KIND, name)
        if job is None:
            raise NotFound(f"no training job {name}")
        if not job.get("EnableManagedSpotTraining"):
            raise Invalid(f"{name} does not use managed spot training")
        if job["SecondaryStatus"] != "Training":
            raise Invalid(f"{name} is not training: it is {job['SecondaryStatus']}")
        self._runs[name][0].ask("interrupt")

    def close(self) -> None:
        """Wait for all jobs to have ended, after the context's `closing` was set."""
        with self._lock:
            threads = [thread for _, thread in self._runs.values()]
        for thread in threads:
            thread.join()


def _refuse(request: Record) -> None:
    """Refuse what SageMaker refuses beyond its model, and what is not emulated."""
    algorithm = request["AlgorithmSpecification"]
    if "TrainingImage" not in algorithm:
        raise Invalid(
            "You must specify TrainingImage: the emulator has no AlgorithmName of a marketplace"
        )
    if "ResourceConfig" not in request:
        raise Invalid("ResourceConfig is required: the emulator has no serverless training")
    if "InstanceType" not in request["ResourceConfig"]:
        raise Invalid("InstanceType is required: the emulator has no InstanceGroups")
    names = [channel["ChannelName"] for channel in request.get("InputDataConfig", [])]
    if len(set(names)) < len(names):
        raise Invalid(f"Channel names must be unique, but they are {names}")
    modes = {algorithm["TrainingInputMode"]}
    for channel in request.get("InputDataConfig", []):
        modes.add(channel.get("InputMode", algorithm["TrainingInputMode"]))
        source = channel["DataSource"].get("S3DataSource")
        if source is None or source["S3DataType"] != "S3Prefix":
            raise Invalid(
                f"Channel {channel['ChannelName']}: the emulator has S3DataSource with S3DataType "
                "S3Prefix alone"
            )
    if "Pipe" in modes:
        raise Invalid("Pipe mode is not emulated: use File or FastFile")
    _check_times(request)


def _check_times(request: Record) -> None:
    stopping = request.get("StoppingCondition", {})
    longest, waits = stopping.get("MaxRuntimeInSeconds"), stopping.get("MaxWaitTimeInSeconds")
    if request.get("EnableManagedSpotTraining"):
        if waits is None:
            raise Invalid(
                "MaxWaitTimeInSeconds must be present when EnableManagedSpotTraining is true"
            )
        if waits < (longest or 86_400):
            raise Invalid(
                "Invalid MaxWaitTimeInSeconds. It must be present and be greater than or equal to "
                "MaxRuntimeInSeconds"
            )
    elif waits is not None:
        raise Invalid("MaxWaitTimeInSeconds must not be set without EnableManagedSpotTraining")


def _not_run(rule: Record) -> Record:
    """Return a rule's status: the emulator runs no rule images, and says so."""
    return {
        "RuleConfigurationName": rule["RuleConfigurationName"],
        "RuleEvaluationStatus": "Error",
        "StatusDetails": "InternalServerError: the emulator does not run rule images",
        "LastModifiedTime": now(),
    }
