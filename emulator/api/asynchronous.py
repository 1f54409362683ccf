"""InvokeEndpointAsync: requests wait in a queue, their answers go to S3, and SNS hears of it."""

import json
import logging
import os
import posixpath
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable
from http import HTTPStatus
from typing import BinaryIO

from werkzeug.wrappers import Request, Response

from emulator import region
from emulator.api.endpoints import LONGEST_ASYNC_S
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
_UNHEALTHY_POLL_S = 0.5
Find = Callable[[str], Fleet]
Invoke = Callable[[str, Fleet, bytes, dict[str, str], float], Answer]


class Asynchronous:
    """The queues of asynchronous endpoints. They outlive an endpoint's instances.

    Args:
        context: the emulator's context.
        find: returns the instances of an endpoint, or raises an ApiError.
        invoke: sends a body to an instance of a fleet.
    """

    def __init__(self, context: Context, find: Find, invoke: Invoke) -> None:
        self._context, self._find, self._invoke = context, find, invoke
        self._queues: dict[str, deque[Queued]] = {}
        self._workers: dict[str, int] = {}
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
        body = self._body(source, read_body(request, _INLINE_BYTES))
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
            output,
            inference,
            source,
            body,
            headers | {f"{AMZN}Inference-Id": inference},
            _seconds(given.get(f"{AMZN}InvocationTimeoutSeconds"), _TIMEOUT_S, 1, LONGEST_ASYNC_S),
            now() + _seconds(given.get(f"{AMZN}RequestTTLSeconds"), _EXPIRY_S, 60, 21_600),
            done,
            failed,
        )
        self._put(queued, fleet)
        response = Response(json.dumps({"InferenceId": inference}), HTTPStatus.ACCEPTED)
        response.headers[f"{AMZN}OutputLocation"] = str(done)
        response.headers[f"{AMZN}FailureLocation"] = str(failed)
        return response

    def _body(self, source: str, inline: bytes) -> bytes:
        """Check the body of a request, in S3 or in the request itself; return the latter."""
        if bool(source) == bool(inline):
            raise _invalid("Give either InputLocation or Body")
        if source:
            self._read(source)
        return inline

    def _read(self, source: str) -> BinaryIO:
        """Open a body in S3: waiting requests are in no memory."""
        most = self._context.settings.limits.async_payload_bytes
        try:
            place = Location.parse(source)
            file = self._context.objects.reader(place)
        except JobError as error:
            raise _invalid(f"Invalid InputLocation {source!r}: {error}") from None
        if os.fstat(file.fileno()).st_size > most:
            file.close()
            raise _invalid(f"The object at {source} is larger than {most} bytes")
        return file

    def _put(self, queued: Queued, fleet: Fleet) -> None:
        """Queue a request; start as many threads as the endpoint takes requests at once."""
        name = self._context.unique(queued.endpoint)
        client = fleet.config["AsyncInferenceConfig"].get("ClientConfig", {})
        each = client.get("MaxConcurrentInvocationsPerInstance", _CONCURRENT)
        most = each * sum(variant.count for variant in fleet.variants)
        with self._lock:
            queue = self._queues.setdefault(name, deque())
            queue.append(queued)
            new = min(len(queue), most - self._workers.get(name, 0))
            self._workers[name] = self._workers.get(name, 0) + max(0, new)
        for _ in range(new):
            region.thread(self._work, name, name=f"asynchronous {name}").start()

    def _work(self, name: str) -> None:
        """Answer requests of an endpoint's queue until it is empty."""
        while True:
            with self._lock:
                if not self._queues[name]:
                    self._workers[name] -= 1
                    return
                queued = self._queues[name].popleft()
            try:
                self._answer(queued)
            except Exception:
                log.exception("asynchronous invocation of %s", queued.endpoint)

    def _answer(self, queued: Queued) -> None:
        """Invoke the endpoint, store the answer or the error, and say so to SNS."""
        received = time.time()
        try:
            answer = self._ask(queued)
            self._context.objects.write(queued.done, answer.body)
            notify(self._context.region, queued, received, answer)
        except ApiError as error:
            self._context.objects.write(queued.failed, error.message.encode())
            notify(self._context.region, queued, received, error)
        except JobError as error:  # the bucket of the answers is gone
            notify(self._context.region, queued, received, _invalid(str(error)))

    def _ask(self, queued: Queued) -> Answer:
        """Return an instance's answer; wait while none is healthy, as in SageMaker's queue."""
        while True:
            if now() > queued.expires:
                raise _invalid("The request expired in the queue: RequestTTLSeconds has passed")
            fleet = self._find(queued.endpoint)  # it may be another one since an update
            if fleet.healthy:
                try:
                    return self._send(queued, fleet)
                except ApiError as error:
                    if error.status != HTTPStatus.SERVICE_UNAVAILABLE:
                        raise
            if self._context.closing.wait(_UNHEALTHY_POLL_S):
                raise _invalid("The emulator was stopped while the request waited")

    def _send(self, queued: Queued, fleet: Fleet) -> Answer:
        body = queued.body
        if queued.source:
            with self._read(queued.source) as file:
                body = file.read()
        return self._invoke(queued.endpoint, fleet, body, queued.headers, queued.timeout_s)


def read_body(request: Request, most: int) -> bytes:
    """Return a request's body, however it is sent.

    Raises:
        ApiError: it is longer than `most` bytes.
    """
    pieces, room = [], most + 1
    if (request.content_length or 0) <= most:
        while room and (piece := request.stream.read(room)):
            pieces.append(piece)
            room -= len(piece)
        if room:
            return b"".join(pieces)
    raise ApiError(f"The request's body exceeds {most} bytes", code="413", status=413)


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
