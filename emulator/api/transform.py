"""Batch transform in the API: create, describe, list, stop."""

import threading

from emulator import contract
from emulator.api.listing import page
from emulator.api.models import Models
from emulator.context import Context, Operations, now
from emulator.contract import Record
from emulator.errors import InUse, Invalid, NotFound
from emulator.runs.transform_run import KIND, TransformRun

_RESTARTED = "InternalServerError: We encountered an internal error. (The emulator ended.)"


class TransformJobs:
    """The operations on transform jobs, and the threads that run them."""

    def __init__(self, context: Context, models: Models) -> None:
        self._context, self._models = context, models
        self._runs: dict[str, tuple[TransformRun, threading.Thread]] = {}
        for job in context.records.all(KIND):
            if job["TransformJobStatus"] in ("InProgress", "Stopping"):
                context.records.update(
                    KIND,
                    job["TransformJobName"],
                    TransformJobStatus="Failed",
                    FailureReason=_RESTARTED,
                    TransformEndTime=now(),
                )

    def operations(self) -> Operations:
        """Return what this answers."""
        return {
            "CreateTransformJob": self.create,
            "DescribeTransformJob": self.describe,
            "ListTransformJobs": self.list_jobs,
            "StopTransformJob": self.stop,
        }

    def create(self, request: Record) -> Record:
        """Start a job.

        Raises:
            Invalid: no such model, or what is not emulated.
            InUse: the name is taken.
        """
        name = request["TransformJobName"]
        model = self._models.model(request["ModelName"])
        _refuse(request)
        arn = self._context.settings.arn(KIND, name)
        job = request | {"TransformJobArn": arn, "TransformJobStatus": "InProgress"}
        if not self._context.records.add(KIND, name, job):
            raise InUse(f"Job name must be unique within an AWS account and region: {name}")
        run = TransformRun(self._context, name, model)
        thread = threading.Thread(target=run.live, name=f"transform {name}", daemon=True)
        self._runs[name] = (run, thread)
        thread.start()
        return {"TransformJobArn": arn}

    def describe(self, request: Record) -> Record:
        """Return a job."""
        job = self._context.records.get(KIND, request["TransformJobName"])
        if job is None:
            raise NotFound(f"Could not find the transform job {request['TransformJobName']}")
        return job

    def list_jobs(self, request: Record) -> Record:
        """Return summaries."""
        chosen, more = page(
            self._context.records.all(KIND),
            request,
            name="TransformJobName",
            status="TransformJobStatus",
        )
        summaries = [contract.members("TransformJobSummary", one) for one in chosen]
        return {"TransformJobSummaries": summaries} | more

    def stop(self, request: Record) -> Record:
        """Ask a job to stop; what it has written stays."""
        name = request["TransformJobName"]
        self.describe(request)
        with self._context.records.change(KIND, name) as job:  # it may be about to end
            status = job["TransformJobStatus"]
            if status == "InProgress":
                job["TransformJobStatus"] = "Stopping"
                self._runs[name][0].stop()
        if status != "InProgress":
            raise Invalid(f"The request was rejected: the transform job is in status {status}.")
        return {}

    def close(self) -> None:
        """Wait for all to have ended, after the context's `closing` was set."""
        for _, thread in self._runs.values():
            thread.join()


def _refuse(request: Record) -> None:
    source = request["TransformInput"]
    if source["DataSource"]["S3DataSource"]["S3DataType"] != "S3Prefix":
        raise Invalid("The emulator transforms S3DataType S3Prefix alone")
    if source.get("SplitType", "None") not in ("None", "Line"):
        raise Invalid(f"SplitType {source['SplitType']} is not emulated")
    if source.get("CompressionType", "None") != "None":
        raise Invalid("CompressionType Gzip is not emulated")
    if request.get("DataProcessing"):
        raise Invalid("DataProcessing is not emulated")
