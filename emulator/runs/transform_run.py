"""One transform job while it runs: starts instances, sends every object, stores every answer."""

import contextlib
import itertools
import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus

from emulator import region
from emulator.context import Context, now
from emulator.contract import Record
from emulator.errors import JobError
from emulator.resources import TRANSFORM_JOB
from emulator.runs import batches
from emulator.runs.hosting import model_data
from emulator.runs.hosting.instance import Answer, Instance, NoAnswer
from emulator.store.objects import Location
from emulator.store.paths import remove_child

log = logging.getLogger("kennel.emulator")

_LOG_GROUP = "/aws/sagemaker/TransformJobs"
_TIMEOUT_S = 600
# The members of a transform job that /execution-parameters answers if the request is silent.
_ASKED = ("MaxConcurrentTransforms", "MaxPayloadInMB", "BatchStrategy")


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
        self._parameters: Record = {key: job[key] for key in _ASKED if job.get(key)}
        self._stopped = threading.Event()

    def stop(self) -> None:
        """Ask the job to stop; objects already sent are finished."""
        self._stopped.set()

    def run(self) -> None:
        """Run the job to its end; errors become its FailureReason."""
        status, reason = "Failed", ""
        count = self._job["TransformResources"]["InstanceCount"]
        try:
            with self._context.slots.take(count, self._is_over) as taken:
                outcomes = self._run(count) if taken else []
            if self._context.closing.is_set():
                raise JobError("InternalServerError: the emulator was stopped while the job ran")
            if any(outcomes):
                raise JobError(_summary(outcomes))
            status = "Stopped" if self._stopped.is_set() else "Completed"
        except JobError as error:
            reason = str(error)
        except Exception as error:
            log.exception("transform job %s", self._name)
            reason = f"InternalServerError: the emulator could not run the job: {error!r}"
        ended: Record = {"TransformJobStatus": status, "TransformEndTime": now()}
        self._update(**ended, **({"FailureReason": reason[:1024]} if reason else {}))

    def _is_over(self) -> bool:
        return self._stopped.is_set() or self._context.closing.is_set()

    def _run(self, count: int) -> list[str]:
        """Send all objects; return why each failed, an empty string for those that did not.

        Raises:
            JobError: there are no objects, or an instance did not become healthy.
        """
        source = Location.parse(self._job["TransformInput"]["DataSource"]["S3DataSource"]["S3Uri"])
        places = self._context.objects.find(source)
        if not places:
            raise JobError(f"ClientError: No S3 objects found under {source}")
        instances: list[Instance] = []
        try:
            self._start(instances, count)
            self._update(TransformStartTime=now())
            concurrency = self._parameters.get("MaxConcurrentTransforms", 1)
            with ThreadPoolExecutor(concurrency * count) as pool:
                turns = (itertools.repeat(source), places, itertools.cycle(instances))
                return list(pool.map(region.carry(self._outcome), *turns))
        finally:
            for instance in instances:
                instance.end()
            remove_child(self._folder.parent, self._folder.name)

    def _start(self, instances: list[Instance], count: int) -> None:
        """Start the instances, with the variables that SageMaker sets for batch transform."""
        container = model_data.container(self._model)
        model_data.download(self._context, container, self._folder / "model")
        for number in range(count):
            instance = Instance(
                self._context,
                f"{self._context.unique(self._name)}-{number}",
                container,
                self._folder / "model",
                self._folder / f"i-{number}",
                (_LOG_GROUP, f"{self._name}/i-{number}"),
                env=batches.environment(self._job),
                isolated=bool(self._model.get("EnableNetworkIsolation")),
            )
            instances.append(instance)
            instance.wait_healthy(self._context.settings.limits.startup_s, "the transform job")
        self._ask(instances[0])

    def _ask(self, instance: Instance) -> None:
        """Ask the container for what the request does not say, if it implements that."""
        with contextlib.suppress(NoAnswer):
            timeout = self._context.settings.limits.ping_s
            answer = instance.send("GET", "/execution-parameters", b"", {}, timeout=timeout)
            self._parameters = batches.asked(answer) | self._parameters

    def _outcome(self, source: Location, place: Location, instance: Instance) -> str:
        """Send one object; return why it failed, or an empty string. One does not end the job."""
        if self._is_over():
            return ""
        try:
            self._transform(source, place, instance)
        except JobError as error:
            return str(error)
        return ""

    def _transform(self, source: Location, place: Location, instance: Instance) -> None:
        """Send one object and store the answers as `<key>.out`.

        Raises:
            JobError: the container refused it, or did not answer.
        """
        source_config, output = self._job["TransformInput"], self._job["TransformOutput"]
        headers = {"Content-Type": source_config.get("ContentType", "application/octet-stream")}
        if "Accept" in output:
            headers["Accept"] = output["Accept"]
        with self._context.objects.reader(place) as packed:
            is_gzip = source_config.get("CompressionType") == "Gzip"
            pieces = batches.bodies(
                batches.inflated(packed, place) if is_gzip else packed,
                place,
                lines=source_config.get("SplitType", "None") == "Line",
                batching=self._parameters.get("BatchStrategy", "MultiRecord") == "MultiRecord",
                max_mb=self._max_mb(),
            )
            answers = [self._send(place, instance, piece, headers) for piece in pieces]
        separator = b"\n" if output.get("AssembleWith") == "Line" else b""
        folder = source.key[: source.key.rfind("/") + 1]
        name = f"{place.key.removeprefix(folder)}.out"
        target = Location.parse(output["S3OutputPath"]).join(name)
        self._context.objects.write(target, b"".join(answer + separator for answer in answers))

    def _send(
        self, place: Location, instance: Instance, piece: bytes, headers: dict[str, str]
    ) -> bytes:
        """Send one request, again if the server fails and ModelClientConfig has retries.

        Raises:
            JobError: the container refused it, or did not answer.
        """
        config = self._job.get("ModelClientConfig", {})
        timeout = config.get("InvocationsTimeoutInSeconds", _TIMEOUT_S)
        reason = ""
        for _ in range(config.get("InvocationsMaxRetries", 0) + 1):
            try:
                answer = instance.send("POST", "/invocations", piece, headers, timeout=timeout)
            except NoAnswer as error:
                reason = f"AlgorithmError: {place}: {error}"
                continue
            if answer.status == HTTPStatus.OK:
                return answer.body
            reason = _refusal(place, answer)
            if answer.status < HTTPStatus.INTERNAL_SERVER_ERROR:
                break
        raise JobError(reason)

    def _max_mb(self) -> int:
        if self._job.get("MaxPayloadInMB") == 0:  # no limit
            return 0
        default = self._context.settings.limits.transform_payload_mb
        return int(self._parameters.get("MaxPayloadInMB", default))

    def _update(self, **fields: object) -> None:
        self._context.records.update(TRANSFORM_JOB, self._name, **fields)


def _refusal(place: Location, answer: Answer) -> str:
    kind = "ClientError" if answer.status < HTTPStatus.INTERNAL_SERVER_ERROR else "AlgorithmError"
    body = answer.body.decode(errors="replace")[:500]
    return f"{kind}: {place}: the container answered {answer.status}: {body}"


def _summary(outcomes: list[str]) -> str:
    """Return the FailureReason: how many objects failed, and why."""
    failures = [outcome for outcome in outcomes if outcome]
    kind, _, _ = failures[0].partition(":")
    reasons = " | ".join(failure.removeprefix(f"{kind}: ") for failure in failures)
    return f"{kind}: {len(failures)} of {len(outcomes)} objects failed: {reasons}"
