"""InvokeEndpoint and InvokeEndpointAsync: limits, routing and errors as in sagemaker-runtime."""

from http import HTTPStatus

from moto.utilities.utils import get_partition
from werkzeug.wrappers import Request, Response

from emulator.api.asynchronous import AMZN, Asynchronous, read_body
from emulator.api.endpoints import Endpoints
from emulator.api.field_table import FIELDS
from emulator.api.fields import check_headers
from emulator.context import Context
from emulator.errors import ApiError
from emulator.runs.hosting.counted import Counted
from emulator.runs.hosting.fleet import Fleet
from emulator.runs.hosting.instance import Answer, Instance, NoAnswer
from emulator.runs.hosting.multi_model import MultiModel
from emulator.runs.hosting.variant import LOG_GROUP, Variant
from emulator.settings import ACCOUNT

_SERVERLESS_BYTES = 4 * 1024 * 1024


class Runtime:
    """Answers invocations."""

    def __init__(self, context: Context, endpoints: Endpoints) -> None:
        self._context, self._endpoints = context, endpoints
        self._multi_model = MultiModel(context)
        self._counted = Counted(context.region)
        self._asynchronous = Asynchronous(context, self._fleet, self._invoke_any)

    def invoke(self, endpoint: str, request: Request) -> Response:
        """Send a request to one instance and return its answer.

        Raises:
            ApiError: ValidationError, ModelError (with OriginalStatusCode), ServiceUnavailable.
        """
        check_headers(FIELDS["InvokeEndpoint"], "InvokeEndpoint", request.headers)
        fleet = self._fleet(endpoint)
        if "AsyncInferenceConfig" in fleet.config:
            raise _invalid(f"Endpoint {endpoint} is asynchronous: use InvokeEndpointAsync")
        limits = self._context.settings.limits
        variant = self._variant(fleet, request.headers.get(f"{AMZN}Target-Variant", ""))
        max_bytes = limits.payload_bytes
        if variant.serverless:
            max_bytes = min(max_bytes, _SERVERLESS_BYTES)
        body = read_body(request, max_bytes)
        answer = self._invoke(endpoint, variant, body, _headers(request), limits.invocation_s)
        return _answer(answer, variant)

    def invoke_async(self, endpoint: str, request: Request) -> Response:
        """Queue a request; its answer goes to S3.

        Raises:
            ApiError: ValidationError.
        """
        check_headers(FIELDS["InvokeEndpointAsync"], "InvokeEndpointAsync", request.headers)
        fleet = self._fleet(endpoint)
        if "AsyncInferenceConfig" not in fleet.config:
            raise _invalid(f"Endpoint {endpoint} is not asynchronous: use InvokeEndpoint")
        return self._asynchronous.accept(endpoint, fleet, request, _headers(request))

    def _invoke_any(
        self, endpoint: str, fleet: Fleet, body: bytes, headers: dict[str, str], seconds: float
    ) -> Answer:
        return self._invoke(endpoint, self._variant(fleet, ""), body, headers, seconds)

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
        target = headers.get(f"{AMZN}Target-Model", "")
        if variant.multi_model != bool(target):
            raise _invalid(
                "TargetModel is required: the endpoint is a multi-model endpoint"
                if variant.multi_model
                else f"TargetModel is not allowed: {endpoint} is not a multi-model endpoint"
            )
        try:
            with variant.invocation() as taken:
                if not taken:
                    message = f"Rate exceeded: MaxConcurrency of variant {variant.name}"
                    raise ApiError(message, code="ThrottlingException", status=429)
                self._counted.add(endpoint, variant.name)
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
        where = self._context.region
        place = f"arn:{get_partition(where)}:logs:{where}:{ACCOUNT}"
        source = "client" if HTTPStatus.BAD_REQUEST <= status < 500 else "server"
        return ApiError(
            f'Received {source} error ({status}) from primary with message "{message}". See the '
            f"CloudWatch log group {group} in account {ACCOUNT} for more information.",
            code="ModelError",
            status=HTTPStatus.FAILED_DEPENDENCY,
            fields={
                "OriginalStatusCode": status,
                "OriginalMessage": message,
                "LogStreamArn": f"{place}:log-group:{group}",
            },
        )


def _headers(request: Request) -> dict[str, str]:
    """Return the headers that SageMaker forwards to a container."""
    names = ["Content-Type", "Accept", *(f"{AMZN}{name}" for name in _FORWARDED)]
    return {name: request.headers[name] for name in names if name in request.headers}


_FORWARDED = ("Custom-Attributes", "Target-Model", "Inference-Id", "Session-Id")
_RETURNED = ("Custom-Attributes", "New-Session-Id", "Closed-Session-Id")


def _answer(answer: Answer, variant: Variant) -> Response:
    headers = {name.lower(): value for name, value in answer.headers.items()}
    response = Response(answer.body, content_type=headers.get("content-type"))
    response.headers["x-Amzn-Invoked-Production-Variant"] = variant.name
    for name in (f"{AMZN}{name}" for name in _RETURNED):
        if name.lower() in headers:
            response.headers[name] = headers[name.lower()]
    return response


def _invalid(message: str) -> ApiError:
    return ApiError(message, code="ValidationError", status=400)
