"""InvokeEndpointAsync: requests wait in a queue, their answers go to S3, and SNS hears of it."""

import json
import logging
import posixpath
import threading
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus

from werkzeug.wrappers import Request, Response

from emulator import region
from emulator.api.notifications import Queued, notify
from emulator.context import Context, now
from emulator.errors import ApiError, JobError
from emulator.runs.hosting.fleet import Fleet
from emulator.runs.hosting.instance import Answer
from emulator.store.objects import Location

log = logging.getLogger("kennel.emulator")

AMZN = "X-Amzn-SageMaker-"
_TIMEOUT_S = 900
_EXPIRY_S = 21_600
_CONCURRENT = 4
_INLINE_BYTES = 128_000
Invoke = Callable[[str, Fleet, bytes, dict[str, str], float], Answer]


class Asynchronous:
    """The queues of asynchronous endpoints.

    Args:
        context: the emulator's context.
        invoke: sends a body to an instance of a fleet.
    """

    def __init__(self, context: Context, invoke: Invoke) -> None:
        self._context, self._invoke = context, invoke
        self._queues: dict[Fleet, ThreadPoolExecutor] = {}
        self._lock = threading.Lock()

    def accept(
        self, endpoint: str, fleet: Fleet, request: Request, headers: dict[str, str]
    ) -> Response:
        """Queue a request.

        Args:
            endpoint: the endpoint's name.
            fleet: its instances.
            request: of InvokeEndpointAsync.
            headers: that go on to the container.

        Raises:
            ApiError: ValidationError.
        """
        given = request.headers
        source = given.get(f"{AMZN}InputLocation", "")
        body = self._body(source, request.get_data())
        identifier = str(uuid.uuid4())
        output = fleet.config["AsyncInferenceConfig"]["OutputConfig"]
        extension = given.get(f"{AMZN}S3OutputPathExtension", "")
        if extension and posixpath.normpath(f"/{extension}") != f"/{extension}".rstrip("/"):
            raise _invalid(f"S3OutputPathExtension {extension!r} is not a plain path")
        name = given.get(f"{AMZN}Filename", f"{identifier}.out")
        folders = [part for part in (extension.strip("/"),) if part]
        done = Location.parse(output["S3OutputPath"]).join(*folders, name)
        failed = Location.parse(output.get("S3FailurePath", output["S3OutputPath"]))
        failed = failed.join(f"{identifier}-error.out")
        headers = headers | {
            "Content-Type": given.get(f"{AMZN}Content-Type", "application/octet-stream")
        }
        if accept := given.get(f"{AMZN}Accept"):
            headers["Accept"] = accept
        inference = given.get(f"{AMZN}Inference-Id", identifier)
        queued = Queued(
            endpoint,
            fleet,
            inference,
            source,
            body,
            headers | {f"{AMZN}Inference-Id": inference},
            _seconds(given.get(f"{AMZN}InvocationTimeoutSeconds"), _TIMEOUT_S, 1, 3600),
            now() + _seconds(given.get(f"{AMZN}RequestTTLSeconds"), _EXPIRY_S, 60, 21_600),
            done,
            failed,
        )
        self._queue(fleet).submit(region.carry(self._answer), queued)
        response = Response(json.dumps({"InferenceId": inference}), HTTPStatus.ACCEPTED)
        response.headers[f"{AMZN}OutputLocation"] = str(done)
        response.headers[f"{AMZN}FailureLocation"] = str(failed)
        return response

    def _body(self, source: str, inline: bytes) -> bytes:
        """Return a request's body: from S3, or in the request itself."""
        if bool(source) == bool(inline):
            raise _invalid("Give either InputLocation or Body")
        if inline:
            if len(inline) > _INLINE_BYTES:
                raise _invalid(f"Body exceeds {_INLINE_BYTES} bytes: use InputLocation")
            return inline
        try:
            body = self._context.objects.read(Location.parse(source))
        except JobError as error:
            raise _invalid(f"Invalid InputLocation {source!r}: {error}") from None
        if len(body) > self._context.settings.limits.async_payload_bytes:
            raise _invalid(f"The object at {source} is too large")
        return body

    def _queue(self, fleet: Fleet) -> ThreadPoolExecutor:
        with self._lock:
            if fleet not in self._queues:
                client = fleet.config["AsyncInferenceConfig"].get("ClientConfig", {})
                each = client.get("MaxConcurrentInvocationsPerInstance", _CONCURRENT)
                instances = sum(variant.count for variant in fleet.variants)
                self._queues[fleet] = ThreadPoolExecutor(each * instances)
            return self._queues[fleet]

    def _answer(self, queued: Queued) -> None:
        """Invoke the endpoint, store the answer or the error, and say so to SNS."""
        received = time.time()
        try:
            if received > queued.expires:
                raise _invalid("The request expired in the queue: RequestTTLSeconds has passed")
            answer = self._invoke(
                queued.endpoint, queued.fleet, queued.body, queued.headers, queued.timeout_s
            )
            self._context.objects.write(queued.done, answer.body)
            notify(self._context.region, queued, received, answer)
        except ApiError as error:
            self._context.objects.write(queued.failed, error.message.encode())
            notify(self._context.region, queued, received, error)
        except Exception:
            log.exception("asynchronous invocation of %s", queued.endpoint)


def _seconds(text: str | None, default: float, low: float, high: float) -> float:
    if text is None:
        return default
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1
    if not low <= seconds <= high:
        raise _invalid(f"{text!r} seconds: give a number from {low:g} to {high:g}")
    return seconds


def _invalid(message: str) -> ApiError:
    return ApiError(message, code="ValidationError", status=400)
