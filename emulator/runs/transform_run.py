"""The life of one transform job: instances up, every object sent, every answer to S3."""

import itertools
import logging
import shutil
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus

from emulator.context import Context, now
from emulator.contract import Record
from emulator.errors import JobError
from emulator.runs.instance import Instance, NoAnswer, fetch_model
from emulator.store.objects import Location

log = logging.getLogger("kennel.emulator")

KIND = "transform-job"
_GROUP = "/aws/sagemaker/TransformJobs"
_TIMEOUT_S = 600
_MB = 1024 * 1024


class TransformRun:
    """Runs one job, which the records already hold.

    Args:
        context: the emulator.
        name: the job's.
        model: the model's record.
    """

    def __init__(self, context: Context, name: str, model: Record) -> None:
        job = context.records.get(KIND, name)
        assert job
        self._context, self._name, self._job, self._model = context, name, job, model
        self._folder = context.settings.state / "transforms" / name
        self._largest: int = job.get("MaxPayloadInMB", context.settings.limits.transform_payload_mb)
        self._at_once: int = job.get("MaxConcurrentTransforms", 0) or 1
        self._stopped = threading.Event()

    def stop(self) -> None:
        """Have it stopped after the objects under way."""
        self._stopped.set()

    def live(self) -> None:
        """Live the job to its end."""
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
            with ThreadPoolExecutor(self._at_once * len(instances)) as pool:
                turns = zip(places, itertools.cycle(instances), strict=False)
                list(pool.map(lambda turn: self._transform(source, *turn), turns))
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
            shutil.rmtree(self._folder, ignore_errors=True)
        ended: Record = {"TransformJobStatus": status, "TransformEndTime": now()}
        self._update(**ended, **({"FailureReason": reason[:1024]} if reason else {}))

    def _start(self, instances: list[Instance]) -> None:
        """Bring the instances up, in the environment that SageMaker gives a batch."""
        env = {
            "SAGEMAKER_BATCH": "true",
            "SAGEMAKER_MAX_PAYLOAD_IN_MB": str(self._largest),
            "SAGEMAKER_BATCH_STRATEGY": self._job.get("BatchStrategy", "MultiRecord"),
            "SAGEMAKER_MAX_CONCURRENT_TRANSFORMS": str(self._at_once),
            **self._job.get("Environment", {}),
        }
        container = self._model["PrimaryContainer"]
        fetch_model(self._context, container, self._folder / "model")
        for number in range(self._job["TransformResources"]["InstanceCount"]):
            instance = Instance(
                self._context,
                f"{self._name}-{number}",
                container,
                self._folder / "model",
                self._folder / f"i-{number}",
                (_GROUP, f"{self._name}/i-{number}"),
                env=env,
                isolated=bool(self._model.get("EnableNetworkIsolation")),
            )
            instances.append(instance)
            instance.wait_healthy(self._context.settings.limits.startup_s, "the transform job")

    def _transform(self, source: Location, place: Location, instance: Instance) -> None:
        """Send one object, and keep the answers as `<key>.out`.

        Raises:
            JobError: the container refused, or was silent.
        """
        if self._stopped.is_set() or self._context.closing.is_set():
            return
        said, output = self._job["TransformInput"], self._job["TransformOutput"]
        headers = {"Content-Type": said.get("ContentType", "application/octet-stream")}
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
                whose = "ClientError" if answer.status < 500 else "AlgorithmError"
                body = answer.body.decode(errors="replace")[:500]
                raise JobError(f"{whose}: {place}: the container answered {answer.status}: {body}")
            answers.append(answer.body)
        between = b"\n" if output.get("AssembleWith") == "Line" else b""
        folder = source.key[: source.key.rfind("/") + 1]
        name = f"{place.key.removeprefix(folder)}.out"
        file = self._folder / f"{threading.get_ident()}.answer"
        file.write_bytes(b"".join(one + between for one in answers))
        self._context.objects.store(file, Location.parse(output["S3OutputPath"]).join(name))

    def _pieces(self, body: bytes, place: Location) -> Iterator[bytes]:
        """Give an object whole, or by lines: one a request, or as many as fit in the payload."""
        largest = self._largest * _MB
        lines = self._job["TransformInput"].get("SplitType", "None") == "Line"
        many = self._job.get("BatchStrategy", "MultiRecord") == "MultiRecord"
        batch = b""
        for record in body.splitlines(keepends=True) if lines else [body]:
            if largest and len(record) > largest:
                raise JobError(f"ClientError: a record of {place} exceeds {self._largest} MB")
            if batch and (not many or (largest and len(batch) + len(record) > largest)):
                yield batch
                batch = b""
            batch += record
        yield batch

    def _update(self, **fields: object) -> None:
        self._context.records.update(KIND, self._name, **fields)
