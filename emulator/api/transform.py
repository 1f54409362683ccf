"""Batch transform in the API: create, describe, list, stop."""

from emulator.api import input_data
from emulator.api.listing import Listing, summaries
from emulator.context import Context, Operations
from emulator.contract import Record
from emulator.errors import Invalid, JobError
from emulator.resources import MODEL, TRANSFORM_JOB
from emulator.runs import defaults
from emulator.runs.hosting import model_data
from emulator.runs.running import Running, fail_unfinished
from emulator.runs.transform_run import TransformRun
from emulator.store.objects import Location

# Limits that the documentation of the API's members names, but not their shapes.
_MAX_INSTANCES, _MAX_MB = 100, 100


class TransformJobs:
    """The operations on transform jobs."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._runs = Running[TransformRun](context, TRANSFORM_JOB)
        for _ in fail_unfinished(context, TRANSFORM_JOB):
            pass

    def operations(self) -> Operations:
        """Return the operations by name."""
        return {
            "CreateTransformJob": self.create,
            "DescribeTransformJob": self.describe,
            "ListTransformJobs": self.list_jobs,
            "StopTransformJob": self.stop,
        }

    def create(self, request: Record) -> Record:
        """Start a job.

        Raises:
            Invalid: there is no such model, or the request has what is not emulated.
            InUse: the name is taken.
        """
        model = self._context.require(MODEL, request["ModelName"])
        if model_data.container(model).get("Mode") == "MultiModel":
            raise Invalid(
                f"The model {request['ModelName']} has Mode MultiModel: batch transform does not "
                "have multi-model containers. Create a model with one ModelDataUrl for it"
            )
        _check(request)
        source = request["TransformInput"]["DataSource"]["S3DataSource"]["S3Uri"]
        input_data.check_prefix(self._context, source, model["ExecutionRoleArn"])
        job = defaults.transform_job(request) | {"TransformJobStatus": "InProgress"}
        return self._runs.start(job, lambda name: TransformRun(self._context, name, model))

    def describe(self, request: Record) -> Record:
        """Return a job."""
        return self._context.require(TRANSFORM_JOB, request["TransformJobName"])

    def list_jobs(self, request: Record) -> Record:
        """Return summaries, newest first by default."""
        jobs = self._context.records.all(TRANSFORM_JOB)
        return summaries(TRANSFORM_JOB, jobs, request, Listing())

    def stop(self, request: Record) -> Record:
        """Ask a job to stop; answers already in S3 remain there.

        Raises:
            Invalid: there is no such job, or it has ended.
        """
        name = request["TransformJobName"]
        if self._context.records.get(TRANSFORM_JOB, name) is None:
            raise Invalid(f"Could not find job to update with name: {name}")
        status = self._runs.stop(name)
        if status != "InProgress":
            raise Invalid(
                f"The request was rejected because the transform job is in status {status}."
            )
        return {}

    def close(self) -> None:
        """Wait until all jobs have ended. The context's `closing` must be set."""
        self._runs.close()


def _check(request: Record) -> None:
    source, target = request["TransformInput"], request["TransformOutput"]
    data = source["DataSource"]["S3DataSource"]
    if data["S3DataType"] != "S3Prefix":
        raise Invalid(
            f"TransformInput: S3DataType {data['S3DataType']} is not emulated: give the prefix of "
            "the objects, with S3Prefix"
        )
    if source.get("SplitType", "None") not in ("None", "Line"):
        raise Invalid(
            f"TransformInput: SplitType {source['SplitType']} is not emulated: use Line, or None"
        )
    for name, default in (("InputFilter", "$"), ("OutputFilter", "$"), ("JoinSource", "None")):
        if (given := request.get("DataProcessing", {}).get(name, default)) != default:
            raise Invalid(
                f"DataProcessing.{name} {given!r} is not emulated: leave it out, and filter or "
                "join the files before or after the job"
            )
    if request["TransformResources"]["InstanceCount"] > _MAX_INSTANCES:
        raise Invalid(f"TransformResources: InstanceCount must be at most {_MAX_INSTANCES}")
    in_flight = request.get("MaxPayloadInMB", 0) * max(1, request.get("MaxConcurrentTransforms", 1))
    if in_flight > _MAX_MB:
        raise Invalid(
            f"MaxConcurrentTransforms times MaxPayloadInMB must be at most {_MAX_MB}: {in_flight}"
        )
    try:
        place, _ = Location.parse(data["S3Uri"]), Location.parse(target["S3OutputPath"])
    except JobError as error:
        raise Invalid(str(error)) from None
    if not place.key:
        raise Invalid(f"S3Uri {place} has no key prefix: name the folder of the objects")
