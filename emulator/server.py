"""One loopback address for all AWS services: SageMaker is emulated here, the others by moto."""

import json
import logging
import re
import threading
import urllib.parse
from collections.abc import Callable, Iterable
from http import HTTPStatus
from io import BytesIO
from typing import Any

from moto.moto_server import werkzeug_app
from werkzeug.test import EnvironBuilder, run_wsgi_app
from werkzeug.wrappers import Request, Response

from emulator import contract, edges, region
from emulator.api import door, fields, tags
from emulator.api.endpoints import Endpoints
from emulator.api.field_table import FIELDS
from emulator.api.images import Images
from emulator.api.model_registry import ModelRegistry
from emulator.api.models import Models
from emulator.api.runtime import Runtime
from emulator.api.tags import Tags
from emulator.api.training import TrainingJobs
from emulator.api.transform import TransformJobs
from emulator.api.tuning import TuningJobs
from emulator.context import Context, Operation, Operations
from emulator.errors import ApiError, NotEmulated
from emulator.runs.schedules import Schedules
from emulator.runs.training_runs import TrainingRuns
from emulator.s3.answers import S3
from emulator.settings import Settings
from emulator.store.journal import Journal
from emulator.store.paths import remove_child

log = logging.getLogger("kennel.emulator")

_EMULATOR_PATH = "/_emulator/"
_INVOCATION = re.compile("/endpoints/([^/]+)/(async-)?invocations")
Start = Callable[..., Any]


class Emulator:
    """The WSGI application.

    Args:
        settings: the emulator's settings.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings, self._access_key = settings, settings.access_key
        # moto would let every web page read its answers.
        werkzeug_app.DISABLE_GLOBAL_CORS = True  # type: ignore[attr-defined]
        self._moto = edges.answering(
            werkzeug_app.DomainDispatcherApplication(werkzeug_app.create_backend_app)
        )
        self._resetting = threading.Lock()
        self._url = ""
        self._open()

    def _open(self) -> None:
        """Load the state folder and make the operations."""
        self._context = context = Context.open(self._settings)
        self._journal = Journal(self._settings.state / "journal.jsonl", self._moto)
        self._s3 = S3(context.objects, self._journal.answer)
        self._training = TrainingRuns(context)
        self._tuning = TuningJobs(context, self._training)
        self._transforms = TransformJobs(context)
        self._endpoints = Endpoints(context)
        self._runtime = Runtime(context, self._endpoints)
        operations: Operations = {
            **TrainingJobs(context, self._training).operations(),
            **self._tuning.operations(),
            **self._transforms.operations(),
            **Models(context).operations(),
            **self._endpoints.operations(),
            **Images(context).operations(),
            **ModelRegistry(context).operations(),
            **Tags(context).operations(),
        }
        self._operations = {
            name: call if name.startswith(("Describe", "List")) else _alone(call, context.changing)
            for name, call in operations.items()
        }
        delete = self._operations["DeleteEndpoint"]
        Schedules(delete, self._journal.answer, context.closing)
        assert set(self._operations) | {"InvokeEndpoint", "InvokeEndpointAsync"} == set(FIELDS)

    def __call__(self, environ: dict[str, Any], start: Start) -> Iterable[bytes]:
        """Answer one request, if its client is one of ours."""

        def start_sandboxed(status: str, headers: list[tuple[str, str]], *more: Any) -> Any:
            if any("\r" in value or "\n" in value for _, value in headers):
                raise ValueError("a header of the answer has a line break")
            named = {name.lower() for name, _ in headers}
            added = [one for one in door.request_id(environ) if one[0].lower() not in named]
            return start(status, [*headers, *added, door.NO_SCRIPTS], *more)

        if refused := door.refusal(environ, self._access_key, self._context.keys.has):
            return refused(environ, start_sandboxed)
        with region.at(door.region(environ)):
            return self._answer(environ, start_sandboxed)

    def _answer(self, environ: dict[str, Any], start: Start) -> Iterable[bytes]:
        request = Request(environ)
        target = request.headers.get("X-Amz-Target", "")
        service, _, operation = target.partition(".")
        try:
            if request.path.startswith(_EMULATOR_PATH):
                return self._emulator(request)(environ, start)
            if service == "SageMaker":
                return self._sagemaker(operation, request)(environ, start)
            if _simulates_policies(request):
                return _access_denied()(environ, start)
            if found := _INVOCATION.fullmatch(request.path):
                invoke = self._runtime.invoke_async if found[2] else self._runtime.invoke
                return invoke(found[1], request)(environ, start)
            if request.path == door.RESET:
                self._reset()
                return _json({"status": "ok"})(environ, start)
            if (signed_for := door.service(environ)) in edges.services():
                body = request.get_data()
                edges.check(signed_for, request, body, self._context.objects)
                if signed_for == "logs":
                    body = edges.with_streams(request, body)
                    environ["CONTENT_LENGTH"] = str(len(body))
                environ["wsgi.input"] = BytesIO(body)  # moto reads it again
        except ApiError as error:
            if door.service(environ) not in ("sagemaker", "s3"):
                failed = door.failure(environ, error.code, error.message, error.status)
                return failed(environ, start)
            return _error(error)(environ, start)
        except Exception as error:
            log.exception("%s %s", request.path, operation)
            return _error(ApiError(f"the emulator failed: {error!r}"))(environ, start)
        if door.service(environ) == "s3":
            return self._s3.answer(environ, start)
        if door.service(environ) == "sts":
            return edges.with_key_of_caller(self._journal.answer)(environ, start)
        if request.headers.get("X-Amz-Target", "").endswith(".GetAuthorizationToken"):
            return edges.with_time_of_token(self._journal.answer)(environ, start)
        buckets = set(self._context.objects.backend.buckets)
        answer = self._journal.answer(environ, start)
        for changed in buckets ^ set(self._context.objects.backend.buckets):
            self._context.objects.save_bucket(changed)  # a stack has made or deleted it
        return answer

    def listen_at(self, url: str) -> None:
        """Set the address that clients use; jobs get it."""
        self._url = url
        self._context.keys.listen_at(url)

    @property
    def engine(self) -> str:
        """Describes the engines in use."""
        return self._context.engines.description

    def close(self) -> None:
        """End all jobs and endpoints."""
        self._context.closing.set()
        self._tuning.close()
        self._training.close()
        self._endpoints.close()
        self._transforms.close()

    def _reset(self) -> None:
        """End everything and begin with an empty state, moto's included."""
        with self._resetting:
            self.close()
            for name in ("records", "s3", "logs", "jobs"):
                remove_child(self._settings.state, name)
            (self._settings.state / "journal.jsonl").unlink(missing_ok=True)
            environ = EnvironBuilder(path=door.RESET, method="POST").get_environ()
            run_wsgi_app(self._moto, environ, buffered=True)
            self._open()
            self.listen_at(self._url)

    def _sagemaker(self, operation: str, request: Request) -> Response:
        """Answer an operation."""
        function = self._operations.get(operation)
        if function is None:
            known = operation in contract.operations()
            raise NotEmulated(
                f"{operation} is not emulated" if known else f"no operation {operation}"
            )
        checked = contract.check(operation, _body(request))
        fields.check(FIELDS[operation], operation, checked)
        tags.check(checked.get("Tags", []))
        return _json(contract.answer(operation, function(checked)))

    def _emulator(self, request: Request) -> Response:
        """Answer requests to the emulator itself."""
        path = request.path.removeprefix(_EMULATOR_PATH)
        if path == "status":
            settings = self._context.settings
            return _json({"engine": self.engine, "state": str(settings.state)})
        if request.method == "POST" and (found := re.fullmatch(r"interrupt/([^/]+)", path)):
            self._training.interrupt(found[1])
            return _json({})
        raise ApiError(
            f"no {request.method} {request.path}", code="ValidationException", status=404
        )


def _alone(operation: Operation, lock: threading.Lock) -> Operation:
    """Return an operation that no other one disturbs between its checks and its changes."""

    def alone(request: contract.Record) -> contract.Record:
        with lock:
            return operation(request)

    return alone


def _body(request: Request) -> Any:
    try:
        return json.loads(request.get_data() or b"{}")
    except ValueError as error:
        message = f"the request is not JSON: {error}"
        raise ApiError(message, code="SerializationException", status=400) from None


def _simulates_policies(request: Request) -> bool:
    """Whether a request asks IAM to simulate a policy, which is not emulated."""
    if "/iam/aws4_request" not in request.headers.get("Authorization", ""):
        return False
    body = request.get_data()
    request.environ["wsgi.input"] = BytesIO(body)  # moto reads it again
    form = urllib.parse.parse_qs(body.decode(errors="replace"))
    return form.get("Action") in (["SimulatePrincipalPolicy"], ["SimulateCustomPolicy"])


def _access_denied() -> Response:
    """Answer as IAM does to users without this right; clients must cope with that."""
    message = "policies are not emulated: you are not authorized to perform: iam:Simulate*"
    body = (
        '<ErrorResponse xmlns="https://iam.amazonaws.com/doc/2010-05-08/"><Error>'
        f"<Type>Sender</Type><Code>AccessDenied</Code><Message>{message}</Message>"
        "</Error><RequestId>emulator</RequestId></ErrorResponse>"
    )
    return Response(body, status=HTTPStatus.FORBIDDEN, content_type="text/xml")


def _json(body: object) -> Response:
    return Response(json.dumps(body), content_type="application/x-amz-json-1.1")


def _error(error: ApiError) -> Response:
    body = {"__type": error.code, "message": error.message} | error.fields
    response = _json(body)
    response.status_code = error.status
    response.headers["x-amzn-ErrorType"] = error.code
    return response
