"""One transform job while it runs: starts instances, sends every object, stores every answer."""

import itertools
import logging
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus

from emulator import region
from emulator.context import Context, now
from emulator.contract import Record
from emulator.errors import JobError
from emulator.resources import TRANSFORM_JOB
from emulator.runs import model_data
from emulator.runs.instance import Instance, NoAnswer
from emulator.store.objects import Location
from emulator.store.paths import remove_child

log = logging.getLogger("kennel.emulator")

_LOG_GROUP = "/aws/sagemaker/TransformJobs"
_TIMEOUT_S = 600
_MB = 1024 * 1024


class TransformRun:
    """Runs one job whose record is already stored.

    Args:
        context: the emulator's context.
        name: the job's name.
        model: the model's record.
    """

    def __init__(self, context: Context, name: str, model: Record) -> None:
        job = context.records.get(TRANSFORM_JOB, name)
        assert job
        self._context, self._name, self._job, self._model = context, name, job, model
        self._folder = context.folder("transforms", name)
        default_mb = context.settings.limits.transform_payload_mb
        self._max_mb: int = job.get("MaxPayloadInMB", default_mb)
        self._concurrency: int = job.get("MaxConcurrentTransforms", 0) or 1
        self._stopped = threading.Event()

    def stop(self) -> None:
        """Ask the job to stop; objects already sent are finished."""
        self._stopped.set()

    def run(self) -> None:
        """Run the job to its end; errors become its FailureReason."""
        instances: list[Instance] = []
        status, reason = "Failed", ""
        try:
            source = Location.parse(
                self._job["TransformInput"]["DataSource"]["S3DataSource"]["S3Uri"]
            )
            places = self._context.objects.find(source)
            if not places:
                raise JobError(f"ClientError: No S3 objects found under {source}")
            self._start(instances)
            self._update(TransformStartTime=now())
            with ThreadPoolExecutor(self._concurrency * len(instances)) as pool:
                turns = (itertools.repeat(source), places, itertools.cycle(instances))
                list(pool.map(region.carry(self._transform), *turns))
            if self._context.closing.is_set():
                raise JobError("InternalServerError: the emulator was stopped while the job ran")
            status = "Stopped" if self._stopped.is_set() else "Completed"
        except JobError as error:
            reason = str(error)
        except Exception as error:
            log.exception("transform job %s", self._name)
            reason = f"InternalServerError: the emulator could not run the job: {error!r}"
        finally:
            for instance in instances:
                instance.end()
            remove_child(self._folder.parent, self._folder.name)
        ended: Record = {"TransformJobStatus": status, "TransformEndTime": now()}
        self._update(**ended, **({"FailureReason": reason[:1024]} if reason else {}))

    def _start(self, instances: list[Instance]) -> None:
        """Start the instances, with the variables that SageMaker sets for batch transform."""
        env = {
            "SAGEMAKER_BATCH": "true",
            "SAGEMAKER_MAX_PAYLOAD_IN_MB": str(self._max_mb),
            "SAGEMAKER_BATCH_STRATEGY": self._job.get("BatchStrategy", "MultiRecord"),
            "SAGEMAKER_MAX_CONCURRENT_TRANSFORMS": str(self._concurrency),
            **self._job.get("Environment", {}),
        }
        container = self._model["PrimaryContainer"]
        model_data.download(self._context, container, self._folder / "model")
        for number in range(self._job["TransformResources"]["InstanceCount"]):
            instance = Instance(
                self._context,
                f"{self._context.unique(self._name)}-{number}",
                container,
                self._folder / "model",
                self._folder / f"i-{number}",
                (_LOG_GROUP, f"{self._name}/i-{number}"),
                env=env,
                isolated=bool(self._model.get("EnableNetworkIsolation")),
            )
            instances.append(instance)
            instance.wait_healthy(self._context.settings.limits.startup_s, "the transform job")

    def _transform(self, source: Location, place: Location, instance: Instance) -> None:
        """Send one object and store the answers as `<key>.out`.

        Raises:
            JobError: the container refused it, or did not answer.
        """
        if self._stopped.is_set() or self._context.closing.is_set():
            return
        source_config, output = self._job["TransformInput"], self._job["TransformOutput"]
        headers = {"Content-Type": source_config.get("ContentType", "application/octet-stream")}
        if "Accept" in output:
            headers["Accept"] = output["Accept"]
        answers = []
        for piece in self._pieces(self._context.objects.read(place), place):
            try:
                timeout = self._job.get("ModelClientConfig", {}).get(
                    "InvocationsTimeoutInSeconds", _TIMEOUT_S
                )
                answer = instance.send("POST", "/invocations", piece, headers, timeout=timeout)
            except NoAnswer as error:
                raise JobError(f"AlgorithmError: {place}: {error}") from None
            if answer.status != HTTPStatus.OK:
                kind = "ClientError" if answer.status < 500 else "AlgorithmError"
                body = answer.body.decode(errors="replace")[:500]
                raise JobError(f"{kind}: {place}: the container answered {answer.status}: {body}")
            answers.append(answer.body)
        separator = b"\n" if output.get("AssembleWith") == "Line" else b""
        folder = source.key[: source.key.rfind("/") + 1]
        name = f"{place.key.removeprefix(folder)}.out"
        target = Location.parse(output["S3OutputPath"]).join(name)
        self._context.objects.write(target, b"".join(answer + separator for answer in answers))

    def _pieces(self, body: bytes, place: Location) -> Iterator[bytes]:
        """Yield the request bodies: the whole object, single lines, or as many lines as fit."""
        max_bytes = self._max_mb * _MB
        lines = self._job["TransformInput"].get("SplitType", "None") == "Line"
        batching = self._job.get("BatchStrategy", "MultiRecord") == "MultiRecord"
        batch = b""
        for record in body.splitlines(keepends=True) if lines else [body]:
            if max_bytes and len(record) > max_bytes:
                raise JobError(f"ClientError: a record of {place} exceeds {self._max_mb} MB")
            if batch and (not batching or (max_bytes and len(batch) + len(record) > max_bytes)):
                yield batch
                batch = b""
            batch += record
        yield batch

    def _update(self, **fields: object) -> None:
        self._context.records.update(TRANSFORM_JOB, self._name, **fields)
