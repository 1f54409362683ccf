"""One loopback address for all of AWS: SageMaker is answered here, the rest by moto."""

import json
import logging
import re
import threading
import urllib.parse
from collections.abc import Callable, Iterable
from http import HTTPStatus
from io import BytesIO
from typing import Any

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server
from werkzeug.wrappers import Request, Response

from emulator import contract
from emulator.api.endpoints import Endpoints
from emulator.api.images import Images
from emulator.api.models import Models
from emulator.api.runtime import Runtime
from emulator.api.tags import Tags
from emulator.api.training import TrainingJobs
from emulator.api.transform import TransformJobs
from emulator.api.tuning import TuningJobs
from emulator.context import Context, Operations
from emulator.errors import ApiError, NotEmulated
from emulator.settings import HOST, Settings
from emulator.store.journal import Journal

log = logging.getLogger("kennel.emulator")

# Of SageMaker, what moto does truthfully: its registry of models, which runs nothing.
MOTOS = frozenset(
    name for name in contract.operations() if "ModelPackage" in name and "Batch" not in name
)
_OWN = "/_emulator/"
_INVOCATION = re.compile("/endpoints/([^/]+)/(async-)?invocations")
Start = Callable[..., Any]


class Emulator:
    """The WSGI application.

    Args:
        settings: of this emulator.
    """

    def __init__(self, settings: Settings) -> None:
        self._context = Context.open(settings)
        moto = DomainDispatcherApplication(create_backend_app)
        self._journal = Journal(settings.state / "journal.jsonl", moto)
        self._training = TrainingJobs(self._context)
        self._tuning = TuningJobs(self._context, self._training)
        models = Models(self._context)
        self._endpoints = Endpoints(self._context, models)
        self._transforms = TransformJobs(self._context, models)
        self._runtime = Runtime(self._context, self._endpoints)
        self._operations: Operations = {
            **self._training.operations(),
            **self._tuning.operations(),
            **models.operations(),
            **Images(self._context).operations(),
            **self._transforms.operations(),
            **Tags(self._context).operations(),
            **self._endpoints.operations(),
        }

    def __call__(self, environ: dict[str, Any], start: Start) -> Iterable[bytes]:
        """Answer one request."""
        request = Request(environ)
        target = request.headers.get("X-Amz-Target", "")
        service, _, operation = target.partition(".")
        try:
            if request.path.startswith(_OWN):
                return self._own(request)(environ, start)
            if service == "SageMaker" and operation not in MOTOS:
                return self._sagemaker(operation, request)(environ, start)
            if _simulates_policies(request):
                return _denied()(environ, start)
            if found := _INVOCATION.fullmatch(request.path):
                invoke = self._runtime.invoke_async if found[2] else self._runtime.invoke
                return invoke(found[1], request)(environ, start)
        except ApiError as error:
            return _refusal(error)(environ, start)
        except Exception as error:
            log.exception("%s %s", request.path, operation)
            return _refusal(ApiError(f"the emulator failed: {error!r}"))(environ, start)
        if not _is_s3(request):
            return self._journal.answer(environ, start)
        if request.method in ("GET", "HEAD"):
            with self._context.objects.lock:  # an object is seen whole, or as it was before
                return self._journal.answer(environ, start)
        answer = self._journal.answer(environ, start)
        if request.method in ("PUT", "POST", "DELETE"):
            self._settle(request)  # before the answer goes out: a 200 is kept
        return answer

    @property
    def engine(self) -> str:
        """What runs jobs, in words."""
        return self._context.engines.said

    def close(self) -> None:
        """End all that runs."""
        self._context.closing.set()
        self._tuning.close()
        self._training.close()
        self._endpoints.close()
        self._transforms.close()

    def _sagemaker(self, operation: str, request: Request) -> Response:
        answers = self._operations.get(operation)
        if answers is None:
            known = operation in contract.operations()
            raise NotEmulated(
                f"{operation} is not emulated" if known else f"no operation {operation}"
            )
        said = contract.check(operation, request.get_json(force=True))
        return _json(contract.answer(operation, answers(said)))

    def _own(self, request: Request) -> Response:
        """Answer what only an emulator has."""
        path = request.path.removeprefix(_OWN)
        if path == "status":
            settings = self._context.settings
            return _json({"engine": self.engine, "state": str(settings.state)})
        if request.method == "POST" and (found := re.fullmatch(r"interrupt/([^/]+)", path)):
            self._training.interrupt(found[1])
            return _json({})
        raise ApiError(
            f"no {request.method} {request.path}", code="ValidationException", status=404
        )

    def _settle(self, request: Request) -> None:
        bucket, _, key = urllib.parse.unquote(request.path.lstrip("/")).partition("/")
        if bucket:
            self._context.objects.settle(bucket, key)


def _is_s3(request: Request) -> bool:
    signed = request.headers.get("Authorization", "") or request.args.get("X-Amz-Credential", "")
    return "/s3/aws4_request" in signed


def _simulates_policies(request: Request) -> bool:
    """Whether it asks IAM what a policy would allow: nobody here weighs policies."""
    if "/iam/aws4_request" not in request.headers.get("Authorization", ""):
        return False
    body = request.get_data()
    request.environ["wsgi.input"] = BytesIO(body)  # moto reads it once more
    asked = urllib.parse.parse_qs(body.decode(errors="replace"))
    return asked.get("Action") in (["SimulatePrincipalPolicy"], ["SimulateCustomPolicy"])


def _denied() -> Response:
    """Refuse as IAM does those who may not ask; clients have to get along with that."""
    said = "the emulator weighs no policies: you are not authorized to perform: iam:Simulate*"
    body = (
        '<ErrorResponse xmlns="https://iam.amazonaws.com/doc/2010-05-08/"><Error>'
        f"<Type>Sender</Type><Code>AccessDenied</Code><Message>{said}</Message>"
        "</Error><RequestId>emulator</RequestId></ErrorResponse>"
    )
    return Response(body, status=HTTPStatus.FORBIDDEN, content_type="text/xml")


def _json(body: object) -> Response:
    return Response(json.dumps(body), content_type="application/x-amz-json-1.1")


def _refusal(error: ApiError) -> Response:
    body = {"__type": error.code, "message": error.message} | error.fields
    response = _json(body)
    response.status_code = error.status
    response.headers["x-amzn-ErrorType"] = error.code
    return response


class _Handler(WSGIRequestHandler):
    """Keeps connections open, as boto3 likes, and logs no request."""

    protocol_version = "HTTP/1.1"

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Say nothing: one line for each object would bury the rest."""


def listen(settings: Settings, app: Any) -> BaseWSGIServer:
    """Return a server on loopback, on the settings' port or a free one.

    Raises:
        OSError: the port is taken.
    """
    server = make_server(HOST, settings.port, app, threaded=True, request_handler=_Handler)
    server.daemon_threads = True  # type: ignore[attr-defined]
    return server


def serve(server: BaseWSGIServer) -> threading.Thread:
    """Serve in a thread of its own, so that the main one is free for signals."""
    thread = threading.Thread(target=server.serve_forever, name="server", daemon=True)
    thread.start()
    return thread
