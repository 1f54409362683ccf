"""Training jobs in the API: create, describe, list, stop, delete."""

import posixpath

from emulator.api import input_data
from emulator.api.listing import Listing, summaries
from emulator.context import Context, Operations, now
from emulator.contract import Record
from emulator.errors import InUse, Invalid, NotFound
from emulator.resources import TRAINING_JOB
from emulator.runs.metrics import compiled
from emulator.runs.running import LIVE
from emulator.runs.training_runs import TrainingRuns

_DEBUGGER = (
    "DebugHookConfig",
    "DebugRuleConfigurations",
    "ProfilerConfig",
    "ProfilerRuleConfigurations",
)
_PLACES = (
    ("OutputDataConfig", "S3OutputPath"),
    ("CheckpointConfig", "S3Uri"),
    ("DebugHookConfig", "S3OutputPath"),
    ("ProfilerConfig", "S3OutputPath"),
    ("TensorBoardOutputConfig", "S3OutputPath"),
)
_MAX_RUNTIME_S = 28 * 86_400  # as StoppingCondition's documentation has it
_PROFILING_MS = (100, 200, 500, 1000, 5000, 60_000)  # as ProfilerConfig's documentation has it
# "MaxResults … are first retrieved ignoring the StatusEquals parameter", newest first.
_LISTING = Listing(status_last=True)


class TrainingJobs:
    """The operations on training jobs."""

    def __init__(self, context: Context, runs: TrainingRuns) -> None:
        self._context, self._runs = context, runs

    def operations(self) -> Operations:
        """Return the operations by name."""
        return {
            "CreateTrainingJob": self.create,
            "DescribeTrainingJob": self.describe,
            "ListTrainingJobs": self.list_jobs,
            "StopTrainingJob": self.stop,
            "DeleteTrainingJob": self.delete,
        }

    def create(self, request: Record) -> Record:
        """Start a job.

        Raises:
            Invalid, InUse: as SageMaker does.
        """
        check(request)
        debugger = [key for key in _DEBUGGER if key in request]
        if debugger and not self._context.settings.debugger:
            raise Invalid(f"{debugger[0]}: SageMaker Debugger is not available to this account")
        input_data.check_channels(self._context, request)
        return self._runs.create(request, **_rule_statuses(request))

    def describe(self, request: Record) -> Record:
        """Return a job."""
        job = self._context.require(TRAINING_JOB, request["TrainingJobName"])
        return job | _warm_pool(job)

    def list_jobs(self, request: Record) -> Record:
        """Return summaries, newest first by default."""
        jobs = [job | _warm_pool(job) for job in self._context.records.all(TRAINING_JOB)]
        if "WarmPoolStatusEquals" in request:
            wanted = request["WarmPoolStatusEquals"]
            jobs = [job for job in jobs if job.get("WarmPoolStatus", {}).get("Status") == wanted]
        if "TrainingPlanArnEquals" in request:
            jobs = []  # no job has a training plan here
        return summaries(TRAINING_JOB, jobs, request, _LISTING)

    def delete(self, request: Record) -> Record:
        """Delete a job that has ended; its objects in S3 and its logs remain.

        Raises:
            NotFound: no such job.
            InUse: it has not ended, or its warm pool is still there.
        """
        name = request["TrainingJobName"]
        job = self._context.records.get(TRAINING_JOB, name)
        if job is None:
            raise NotFound("Requested resource not found.")
        pool = _warm_pool(job).get("WarmPoolStatus", {}).get("Status")
        if job["TrainingJobStatus"] in LIVE or pool == "Available":
            state = "its warm pool is Available" if pool else f"it is {job['TrainingJobStatus']}"
            raise InUse(f"Training job {job['TrainingJobArn']} cannot be deleted: {state}")
        self._context.records.remove(TRAINING_JOB, name)
        return {}

    def stop(self, request: Record) -> Record:
        """Ask a job to stop.

        Raises:
            Invalid: there is no such job, or it has ended.
        """
        status = self._runs.stop(request["TrainingJobName"])
        if status not in LIVE:
            raise Invalid(
                f"The request was rejected because the training job is in status {status}."
            )
        return {}


def _warm_pool(job: Record) -> Record:
    """Return the warm pool's status: it is kept for a while, though no job starts faster here."""
    kept_s = job["ResourceConfig"].get("KeepAlivePeriodInSeconds", 0)
    if not kept_s or job["TrainingJobStatus"] != "Completed":
        return {}
    idle_s = now() - job["TrainingEndTime"]
    status = "Available" if idle_s < kept_s else "Terminated"
    billable = int(min(idle_s, kept_s))
    return {"WarmPoolStatus": {"Status": status, "ResourceRetainedBillableTimeInSeconds": billable}}


def check(request: Record) -> None:
    """Refuse what SageMaker refuses in addition to its model, and what is not emulated.

    Raises:
        Invalid: with the reason.
    """
    algorithm = request["AlgorithmSpecification"]
    if "TrainingImage" not in algorithm:
        raise Invalid("You must specify TrainingImage: AlgorithmName is not emulated")
    if "ResourceConfig" not in request:
        raise Invalid("ResourceConfig is required: serverless training is not emulated")
    _check_machines(request)
    channels = request.get("InputDataConfig", [])
    names = [channel["ChannelName"] for channel in channels]
    if len(set(names)) < len(names):
        raise Invalid(f"Channel names must be unique, but they are {names}")
    modes = {algorithm["TrainingInputMode"]}
    for channel in channels:
        modes.add(channel.get("InputMode", algorithm["TrainingInputMode"]))
        for member in ("CompressionType", "RecordWrapperType"):
            if channel.get(member, "None") != "None":
                raise Invalid(
                    f"Channel {channel['ChannelName']}: {member} {channel[member]} is for Pipe "
                    "mode only, which is not emulated: leave it out or set it to None"
                )
        source = channel["DataSource"].get("S3DataSource")
        _check_source(channel["ChannelName"], source)
    if bad := [name for name in names if name in (".", "..")]:
        raise Invalid(f"Channel names must be names of folders: {bad[0]!r} is not")
    _check_local_paths(request)
    _check_places(request)
    _check_profiler(request.get("ProfilerConfig", {}))
    if "Pipe" in modes:
        raise Invalid("Pipe mode is not emulated: use File or FastFile")
    _check_times(request)
    compiled(algorithm.get("MetricDefinitions", []))


def _check_machines(request: Record) -> None:
    machines = request["ResourceConfig"]
    if "InstanceType" not in machines:
        raise Invalid("InstanceType is required: InstanceGroups are not emulated")
    if machines.get("InstanceCount", 0) < 1:
        raise Invalid(
            "ResourceConfig: InstanceCount must be present, and be greater than or equal to 1"
        )
    if machines.get("KeepAlivePeriodInSeconds") and request.get("EnableManagedSpotTraining"):
        raise Invalid(
            "ResourceConfig: KeepAlivePeriodInSeconds keeps a warm pool, which managed spot "
            "training does not have: give one of the two"
        )


def _check_places(request: Record) -> None:
    """Refuse addresses that are not in S3's own form; the API's patterns allow https, too."""
    places = {
        f"{member}.{key}": request[member][key]
        for member, key in _PLACES
        if request.get(member, {}).get(key)
    }
    for channel in request.get("InputDataConfig", []):
        places[f"Channel {channel['ChannelName']}"] = channel["DataSource"]["S3DataSource"]["S3Uri"]
    for name, uri in places.items():
        if not uri.startswith("s3://"):
            raise Invalid(f"{name}: {uri} is not emulated: write it as s3://bucket/key")


def _check_profiler(profiler: Record) -> None:
    interval = profiler.get("ProfilingIntervalInMilliseconds", _PROFILING_MS[0])
    if interval not in _PROFILING_MS:
        raise Invalid(
            f"ProfilerConfig: ProfilingIntervalInMilliseconds must be one of {_PROFILING_MS}, not "
            f"{interval}"
        )


def _check_source(channel: str, source: Record | None) -> None:
    if source is not None and source["S3DataType"] == "AugmentedManifestFile":
        raise Invalid(
            f"Channel {channel}: AugmentedManifestFile can only be used if the channel's input "
            "mode is Pipe, which is not emulated: upload the manifest next to its pictures and "
            "give their prefix (S3Prefix), if the algorithm reads such tables, as Kennel does"
        )
    if source is None or source["S3DataType"] not in ("S3Prefix", "ManifestFile"):
        raise Invalid(
            f"Channel {channel}: only an S3DataSource with S3DataType S3Prefix or ManifestFile is "
            "emulated"
        )
    if source.get("AttributeNames"):
        raise Invalid(
            f"Channel {channel}: AttributeNames is for AugmentedManifestFile only, not for "
            f"{source['S3DataType']}: leave it out"
        )


def _check_local_paths(request: Record) -> None:
    for member in ("CheckpointConfig", "DebugHookConfig", "TensorBoardOutputConfig"):
        path = request.get(member, {}).get("LocalPath", "/opt/ml/x")
        if not path.startswith("/") or posixpath.normpath(path) != path.rstrip("/"):
            raise Invalid(f"{member}: LocalPath must be absolute, without '.' and '..': {path!r}")
        if f"{path}/".startswith("/opt/ml/input/"):
            raise Invalid(
                f"{member}: LocalPath {path} is where the job's input is: give another folder, "
                "such as /opt/ml/checkpoints"
            )


def _check_times(request: Record) -> None:
    stopping = request.get("StoppingCondition", {})
    max_runtime, max_wait = (
        stopping.get(key) for key in ("MaxRuntimeInSeconds", "MaxWaitTimeInSeconds")
    )
    if (max_runtime or 0) > _MAX_RUNTIME_S:
        raise Invalid(
            "StoppingCondition: MaxRuntimeInSeconds must be at most 28 days, "
            f"{_MAX_RUNTIME_S}, not {max_runtime}"
        )
    if request.get("EnableManagedSpotTraining"):
        if max_wait is None:
            raise Invalid(
                "MaxWaitTimeInSeconds must be present when EnableManagedSpotTraining is true"
            )
        if max_wait < (max_runtime or 86_400):
            raise Invalid(
                "Invalid MaxWaitTimeInSeconds. It must be present and be greater than or equal to "
                "MaxRuntimeInSeconds"
            )
    elif max_wait is not None:
        raise Invalid("MaxWaitTimeInSeconds must not be set without EnableManagedSpotTraining")


def _rule_statuses(request: Record) -> Record:
    """Return the evaluation statuses of debugger and profiler rules, which are not emulated."""
    statuses = {}
    for kind in ("Debug", "Profiler"):
        if rules := request.get(f"{kind}RuleConfigurations"):
            statuses[f"{kind}RuleEvaluationStatuses"] = [
                {
                    "RuleConfigurationName": rule["RuleConfigurationName"],
                    "RuleEvaluationStatus": "Error",
                    "StatusDetails": "InternalServerError: the emulator does not run rule images",
                    "LastModifiedTime": now(),
                }
                for rule in rules
            ]
    return statuses
