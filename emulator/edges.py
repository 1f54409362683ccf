"""What moto would answer untruly, as it does not know what the emulator runs: refused."""

import json
import logging
import re
import time
import urllib.parse
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any

from werkzeug.test import run_wsgi_app
from werkzeug.wrappers import Request

from emulator.api import door
from emulator.errors import ApiError, JobError, NotEmulated
from emulator.store.logs import stream_names
from emulator.store.objects import Location, Objects

log = logging.getLogger("kennel.emulator")
Application = Callable[[dict[str, Any], Any], Iterable[bytes]]

_MADE_UP_KEY = re.compile(b"<AccessKeyId>[^<]*</AccessKeyId>")
_TOKEN_S = 12 * 3600  # of ECR
# Services, as in signatures, whose work moto only pretends to do: its answers are made up.
_PRETENDED = frozenset(
    "athena batch bedrock codebuild codepipeline comprehend databrew datasync ecs eks "
    "elasticmapreduce emr-containers emr-serverless forecast lex personalize polly rekognition "
    "states textract transcribe translate".split()
)
# Services that would do nothing for SageMaker, and the words by which their requests ask for it.
_BLIND = {
    "config": r"AWS::SageMaker::\w+",
    "events": r"aws\.sagemaker|:sagemaker:",
    "resource-groups": r"AWS::SageMaker::\w+|:sagemaker:",
    "scheduler": r":sagemaker:(?!deleteEndpoint\b)\w+",
}
# Operations of CloudWatch Logs that moto answers without looking at the log.
_LOGS_BLIND = ("StartQuery", "PutMetricFilter", "CreateExportTask", "StartLiveTail")
# The only filter patterns that moto understands: words, or one phrase in quotes.
_FILTER = re.compile(r'[A-Za-z][^"?\-{}\[\]%*=<>()&|]*|"[^"]*"')
_STACKS = ("CreateStack", "UpdateStack", "CreateChangeSet", "CreateStackSet", "UpdateStackSet")
_RESOURCE = re.compile(r"AWS::SageMaker::\w+")
_RUNTIME = re.compile(r"/endpoints/[^/]+/(?P<kind>[\w-]+)")
_STREAMS = {
    "invocations-response-stream": "InvokeEndpointWithResponseStream",
    "invocations-bidirectional-stream": "InvokeEndpointWithBidirectionalStream",
}


def check(service: str, request: Request, body: bytes, objects: Objects) -> None:
    """Refuse a request that moto would answer as if SageMaker's resources were moto's.

    Args:
        service: for which the request is signed.
        request: which is not for the emulator's own SageMaker.
        body: of the request.
        objects: S3, where templates can be.

    Raises:
        NotEmulated: says what to do instead.
    """
    operation = request.headers.get("X-Amz-Target", "").rpartition(".")[2]
    if service == "sagemaker" and not operation:
        found = _RUNTIME.fullmatch(request.path)
        name = _STREAMS.get(found["kind"], "") if found else ""
        raise NotEmulated(f"{name or f'{request.method} {request.path}'} is not emulated")
    if service in _PRETENDED:
        raise NotEmulated(f"The service {service} is not emulated")
    if service in _BLIND and (found := re.search(_BLIND[service], body.decode(errors="replace"))):
        raise NotEmulated(
            f"{service} does not know SageMaker's resources here ({found[0]}): use SageMaker's own "
            "API"
        )
    if service == "scheduler" and ":sagemaker:" in body.decode(errors="replace"):
        when = str(_record(body).get("ScheduleExpression", ""))
        if not when.startswith("at("):
            raise NotEmulated(f"The schedule {when!r} is not emulated: use at(…), which fires once")
    if service == "logs":
        _check_logs(operation, body)
    if service == "cloudformation":
        _check_stack(urllib.parse.parse_qs(body.decode(errors="replace")), objects)
    if service == "tagging":
        _check_tagging(operation, body)


def with_streams(request: Request, body: bytes) -> bytes:
    """Return a request to CloudWatch Logs with the names of the streams that it asks for.

    moto's FilterLogEvents knows neither a prefix of streams nor the ARN of a group: it would
    answer with the events of all streams. AWS sorts them by time, whatever `interleaved` says.

    Raises:
        ApiError: the request names streams in two ways, or its group in two; or the stream that it
            reads or deletes does not exist, or the one that it creates does.
    """
    operation = request.headers.get("X-Amz-Target", "").rpartition(".")[2]
    given = _record(body)
    where = door.region(request.environ) or "us-east-1"
    if operation in ("GetLogEvents", "DeleteLogStream", "CreateLogStream"):
        _check_stream(where, given, creates=operation == "CreateLogStream")
    if operation != "FilterLogEvents":
        return body
    for one, other in (
        ("logStreamNamePrefix", "logStreamNames"),
        ("logGroupIdentifier", "logGroupName"),
    ):
        if given.get(one) and given.get(other):
            message = f"Give either {one} or {other}, not both"
            raise ApiError(message, code="InvalidParameterException", status=400)
    if given.get("logGroupIdentifier"):
        given["logGroupName"] = _group(str(given.pop("logGroupIdentifier")))
    if prefix := str(given.pop("logStreamNamePrefix", None) or ""):
        names = stream_names(where, str(given.get("logGroupName"))) or []
        found = [name for name in names if name.startswith(prefix)]
        given["logStreamNames"] = found or [""]  # moto takes an empty list for all streams
    return json.dumps(given | {"interleaved": True}).encode()


def services() -> frozenset[str]:
    """Return the services whose requests `check` must see."""
    others = ("sagemaker", "cloudformation", "tagging", "logs")
    return _PRETENDED | set(_BLIND) | set(others)


def answering(application: Application) -> Application:
    """Return moto's application with an answer where moto has none, or fails."""

    def answer(environ: dict[str, Any], start: Any) -> Iterable[bytes]:
        try:
            return application(environ, start)
        except Exception as error:
            target = environ.get("HTTP_X_AMZ_TARGET", "").rpartition(".")[2]
            what = target or f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}"
            if not isinstance(error, NotImplementedError):
                log.warning("moto failed: %s of %s", what, door.service(environ), exc_info=True)
            message = f"{what} of the service {door.service(environ)!r} is not emulated"
            code, status = NotEmulated.code, HTTPStatus.BAD_REQUEST
            return door.failure(environ, code, message, status)(environ, start)

    return answer


def with_key_of_caller(application: Application) -> Application:
    """Return moto's application with the caller's own key in STS's temporary credentials.

    moto would make up a key, which opens nothing here.
    """

    def answer(environ: dict[str, Any], start: Any) -> Iterable[bytes]:
        own = f"<AccessKeyId>{door.access_key(environ)}</AccessKeyId>".encode()
        pieces, status, headers = run_wsgi_app(application, environ, buffered=True)
        body = _MADE_UP_KEY.sub(lambda _: own, b"".join(pieces))
        headers["Content-Length"] = str(len(body))
        start(status, list(headers))
        return [body]

    return answer


def with_time_of_token(application: Application) -> Application:
    """Return moto's application with the time at which ECR's tokens expire.

    moto's expired in 2015: clients that keep a token until then would ask for each request again.
    """

    def answer(environ: dict[str, Any], start: Any) -> Iterable[bytes]:
        pieces, status, headers = run_wsgi_app(application, environ, buffered=True)
        body = b"".join(pieces)
        found = _record(body)
        for one in found.get("authorizationData", []):
            one["expiresAt"] = time.time() + _TOKEN_S
        body = json.dumps(found).encode() if found else body
        headers["Content-Length"] = str(len(body))
        start(status, list(headers))
        return [body]

    return answer


def _check_logs(operation: str, body: bytes) -> None:
    if operation in _LOGS_BLIND:
        raise NotEmulated(
            f"{operation} is not emulated: read logs with GetLogEvents or FilterLogEvents"
        )
    if operation != "FilterLogEvents":
        return
    pattern = _record(body).get("filterPattern") or ""
    if pattern and not (isinstance(pattern, str) and _FILTER.fullmatch(pattern)):
        raise NotEmulated(
            f"filterPattern {pattern!r} is not emulated: give words, or one phrase in double quotes"
        )


def _check_stream(where: str, given: dict[str, Any], *, creates: bool) -> None:
    """Refuse a stream that does not exist, or does: moto would say so of the group.

    Raises:
        ApiError: in CloudWatch's words.
    """
    group = _group(str(given.get("logGroupIdentifier") or given.get("logGroupName")))
    names = stream_names(where, group)
    if names is None:
        return
    exists = given.get("logStreamName") in names
    if exists and creates:
        message = "The specified log stream already exists"
        raise ApiError(message, code="ResourceAlreadyExistsException", status=400)
    if not exists and not creates:
        message = "The specified log stream does not exist."
        raise ApiError(message, code="ResourceNotFoundException", status=400)


def _group(name: str) -> str:
    """Return the name of a log group that is given by its name or its ARN."""
    return name.partition(":log-group:")[2].removesuffix(":*") or name


def _record(body: bytes) -> dict[str, Any]:
    """Return a JSON object; an empty one if the body is none, which moto refuses."""
    try:
        given = json.loads(body or b"{}")
    except ValueError:
        return {}
    return given if isinstance(given, dict) else {}


def _check_stack(form: dict[str, list[str]], objects: Objects) -> None:
    if form.get("Action", [""])[0] not in _STACKS:
        return
    template = form.get("TemplateBody", [""])[0] or _fetched(form, objects)
    if found := sorted(set(_RESOURCE.findall(template))):
        raise NotEmulated(
            f"CloudFormation does not make {', '.join(found)} here: create SageMaker's resources "
            "through its own API"
        )


def _fetched(form: dict[str, list[str]], objects: Objects) -> str:
    """Return the template at TemplateURL; an empty string if it is not in our S3."""
    address = urllib.parse.urlsplit(form.get("TemplateURL", [""])[0])
    path = urllib.parse.unquote(address.path).lstrip("/")
    bucket, _, key = path.partition("/")
    host = (address.hostname or "").partition(".")[0]
    for place in (Location(bucket, key), Location(host, path)):
        try:
            return objects.read(place).decode(errors="replace")
        except JobError:
            continue
    return ""


def _check_tagging(operation: str, body: bytes) -> None:
    given = _record(body)
    arns, types = given.get("ResourceARNList", []), given.get("ResourceTypeFilters", [])
    ours = any(":sagemaker:" in str(arn) for arn in arns)
    ours = ours or any(str(kind).startswith("sagemaker") for kind in types)
    lists_all = operation == "GetResources" and not arns and not types
    if ours or lists_all or operation in ("GetTagKeys", "GetTagValues"):
        raise NotEmulated(
            f"{operation} does not know SageMaker's resources here: use SageMaker's ListTags, "
            "AddTags and DeleteTags, or give ResourceTypeFilters of other services"
        )
