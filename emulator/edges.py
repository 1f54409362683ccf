"""What moto would answer untruly, as it does not know what the emulator runs: refused."""

import json
import re
import urllib.parse
from typing import Any

from werkzeug.wrappers import Request

from emulator.errors import JobError, NotEmulated
from emulator.store.objects import Location, Objects

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
    if service == "cloudformation":
        _check_stack(urllib.parse.parse_qs(body.decode(errors="replace")), objects)
    if service == "tagging":
        _check_tagging(operation, body)


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
    try:
        given: Any = json.loads(body or b"{}")
    except ValueError:
        return  # moto refuses it
    arns = given.get("ResourceARNList", []) if isinstance(given, dict) else []
    types = given.get("ResourceTypeFilters", []) if isinstance(given, dict) else []
    ours = any(":sagemaker:" in str(arn) for arn in arns)
    ours = ours or any(str(kind).startswith("sagemaker") for kind in types)
    lists_all = operation == "GetResources" and not arns and not types
    if ours or lists_all or operation in ("GetTagKeys", "GetTagValues"):
        raise NotEmulated(
            f"{operation} does not know SageMaker's resources here: use SageMaker's ListTags, "
            "AddTags and DeleteTags, or give ResourceTypeFilters of other services"
        )
