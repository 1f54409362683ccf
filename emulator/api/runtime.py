"""InvokeEndpoint and InvokeEndpointAsync: limits, routing and errors as in sagemaker-runtime."""

import json
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus

from werkzeug.wrappers import Request, Response

from emulator.api.endpoints import Endpoints
from emulator.context import Context
from emulator.errors import ApiError, JobError
from emulator.runs.fleet import LOG_GROUP, Fleet, Variant
from emulator.runs.instance import Answer, Instance, NoAnswer
from emulator.runs.multi_model import MultiModel
from emulator.settings import ACCOUNT
from emulator.store.objects import Location

_AMZN = "X-Amzn-SageMaker-"
_SERVERLESS_BYTES = 4 * 1024 * 1024
_ASYNC_TIMEOUT_S = 900
_CONCURRENT = 4


class Runtime:
    """Answers invocations."""

    def __init__(self, context: Context, endpoints: Endpoints) -> None:
        self._context, self._endpoints = context, endpoints
        self._multi_model = MultiModel(context)
        self._queues: dict[Fleet, ThreadPoolExecutor] = {}
        self._lock = threading.Lock()

    def invoke(self, endpoint: str, request: Request) -> Response:
        """Send a request to one instance and return its answer.

        Raises:
            ApiError: ValidationError, ModelError (with OriginalStatusCode), ServiceUnavailable.
        """
        fleet = self._fleet(endpoint)
        if "AsyncInferenceConfig" in fleet.config:
            raise _invalid(f"Endpoint {endpoint} is asynchronous: use InvokeEndpointAsync")
        limits = self._context.settings.limits
        variant = self._variant(fleet, request.headers.get(f"{_AMZN}Target-Variant", ""))
        max_bytes = limits.payload_bytes
        if variant.serverless:
            max_bytes = min(max_bytes, _SERVERLESS_BYTES)
        if (request.content_length or 0) > max_bytes:
            raise ApiError(f"The request's body exceeds {max_bytes} bytes", code="413", status=413)
        answer = self._invoke(
            endpoint, variant, request.get_data(), _headers(request), limits.invocation_s
        )
        return _answer(answer, variant)

    def invoke_async(self, endpoint: str, request: Request) -> Response:
        """Queue a request; its answer goes to S3.

        Raises:
            ApiError: ValidationError.
        """
        fleet = self._fleet(endpoint)
        config = fleet.config.get("AsyncInferenceConfig")
        if config is None:
            raise _invalid(f"Endpoint {endpoint} is not asynchronous: use InvokeEndpoint")
        source = request.headers.get(f"{_AMZN}InputLocation", "")
        try:
            body = self._context.objects.read(Location.parse(source))
        except JobError as error:
            raise _invalid(f"Invalid InputLocation {source!r}: {error}") from None
        if len(body) > self._context.settings.limits.async_payload_bytes:
            raise _invalid(f"The object at {source} is too large")
        identifier = str(uuid.uuid4())
        output = config["OutputConfig"]
        done = Location.parse(output["S3OutputPath"]).join(f"{identifier}.out")
        failed = Location.parse(output.get("S3FailurePath", output["S3OutputPath"]))
        failed = failed.join(f"{identifier}-error.out")
        headers = _headers(request) | {
            "Content-Type": request.headers.get(f"{_AMZN}Content-Type", "application/octet-stream")
        }
        if accept := request.headers.get(f"{_AMZN}Accept"):
            headers["Accept"] = accept
        seconds = float(request.headers.get(f"{_AMZN}InvocationTimeoutSeconds", _ASYNC_TIMEOUT_S))
        queue = self._queue(fleet)
        queue.submit(self._invoke_to_s3, endpoint, fleet, body, headers, seconds, done, failed)
        inference = request.headers.get(f"{_AMZN}Inference-Id", identifier)
        response = Response(json.dumps({"InferenceId": inference}), HTTPStatus.ACCEPTED)
        response.headers[f"{_AMZN}OutputLocation"] = str(done)
        response.headers[f"{_AMZN}FailureLocation"] = str(failed)
        return response

    def _fleet(self, endpoint: str) -> Fleet:
        fleet = self._endpoints.fleet(endpoint)
        if fleet is None:
            raise _invalid(f"Endpoint {endpoint} of account {ACCOUNT} not found.")
        return fleet

    def _variant(self, fleet: Fleet, name: str) -> Variant:
        variant = fleet.variant(name)
        if variant is None:
            raise _invalid(f"Variant {name} not found")
        return variant

    def _invoke(
        self,
        endpoint: str,
        variant: Variant,
        body: bytes,
        headers: dict[str, str],
        seconds: float,
    ) -> Answer:
        instance = variant.next_instance()
        if instance is None:
            raise ApiError(
                f"No instance of {endpoint} is healthy", code="ServiceUnavailable", status=503
            )
        target = headers.get(f"{_AMZN}Target-Model", "")
        if variant.multi_model != bool(target):
            raise _invalid(
                "TargetModel is required: the endpoint is a multi-model endpoint"
                if variant.multi_model
                else f"TargetModel is not allowed: {endpoint} is not a multi-model endpoint"
            )
        try:
            answer = self._send(variant, instance, target, body, headers, seconds)
        except NoAnswer as error:
            raise self._model_error(endpoint, 0, str(error)) from None
        if answer.status != HTTPStatus.OK:
            message = answer.body.decode(errors="replace")
            raise self._model_error(endpoint, answer.status, message)
        return answer

    def _send(
        self,
        variant: Variant,
        instance: Instance,
        target: str,
        body: bytes,
        headers: dict[str, str],
        seconds: float,
    ) -> Answer:
        if variant.multi_model:
            return self._multi_model.invoke(variant, instance, target, body, headers, seconds)
        return instance.send("POST", "/invocations", body, headers, timeout=seconds)

    def _model_error(self, endpoint: str, status: int, message: str) -> ApiError:
        group = f"{LOG_GROUP}/{endpoint}"
        source = "client" if HTTPStatus.BAD_REQUEST <= status < 500 else "server"
        return ApiError(
            f'Received {source} error ({status}) from primary with message "{message}". See the '
            f"CloudWatch log group {group} in account {ACCOUNT} for more information.",
            code="ModelError",
            status=HTTPStatus.FAILED_DEPENDENCY,
            fields={
                "OriginalStatusCode": status,
                "OriginalMessage": message,
                "LogStreamArn": f"arn:aws:logs:{self._context.region}:{ACCOUNT}:log-group:{group}",
            },
        )

    def _queue(self, fleet: Fleet) -> ThreadPoolExecutor:
        with self._lock:
            if fleet not in self._queues:
                client = fleet.config["AsyncInferenceConfig"].get("ClientConfig", {})
                each = client.get("MaxConcurrentInvocationsPerInstance", _CONCURRENT)
                instances = sum(variant.count for variant in fleet.variants)
                self._queues[fleet] = ThreadPoolExecutor(each * instances)
            return self._queues[fleet]

    def _invoke_to_s3(
        self,
        endpoint: str,
        fleet: Fleet,
        body: bytes,
        headers: dict[str, str],
        seconds: float,
        done: Location,
        failed: Location,
    ) -> None:
        variant = self._variant(fleet, "")
        try:
            body, place = self._invoke(endpoint, variant, body, headers, seconds).body, done
        except ApiError as error:
            body, place = error.message.encode(), failed
        self._context.objects.write(place, body)


def _headers(request: Request) -> dict[str, str]:
    """Return the headers that SageMaker forwards to a container."""
    names = ["Content-Type", "Accept", *(f"{_AMZN}{name}" for name in _FORWARDED)]
    return {name: request.headers[name] for name in names if name in request.headers}


_FORWARDED = ("Custom-Attributes", "Target-Model", "Inference-Id", "Session-Id")


def _answer(answer: Answer, variant: Variant) -> Response:
    headers = {name.lower(): value for name, value in answer.headers.items()}
    response = Response(answer.body, content_type=headers.get("content-type"))
    response.headers["x-Amzn-Invoked-Production-Variant"] = variant.name
    attributes = f"{_AMZN}Custom-Attributes"
    if attributes.lower() in headers:
        response.headers[attributes] = headers[attributes.lower()]
    return response


def _invalid(message: str) -> ApiError:
    return ApiError(message, code="ValidationError", status=400)
