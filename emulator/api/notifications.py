"""What SNS hears of an asynchronous invocation that has ended; moto delivers it."""

import base64
import json
import logging
import time
from dataclasses import dataclass
from typing import Any

from moto.core.exceptions import ServiceException
from moto.sns.models import sns_backends

from emulator.contract import Record
from emulator.errors import ApiError
from emulator.runs.hosting.instance import Answer
from emulator.settings import ACCOUNT
from emulator.store.objects import Location

log = logging.getLogger("kennel.emulator")

# An answer up to this size is in the notification, as IncludeInferenceResponseIn has it.
_INCLUDED_BYTES = 128 * 1024


@dataclass(frozen=True)
class Queued:
    """One request in the queue of an asynchronous endpoint.

    Args:
        endpoint: the endpoint's name.
        output: the OutputConfig of its configuration.
        identifier: the InferenceId.
        source: the InputLocation; empty if the body came with the request.
        body: of such a request, for the container.
        headers: for the container.
        timeout_s: how long the container may take.
        expires: when the request is too old, in seconds since 1970.
        done: where the answer goes.
        failed: where an error goes.
    """

    endpoint: str
    output: Record
    identifier: str
    source: str
    body: bytes
    headers: dict[str, str]
    timeout_s: float
    expires: float
    done: Location
    failed: Location


def notify(region: str, queued: Queued, received: float, result: Answer | ApiError) -> None:
    """Publish the notification of NotificationConfig, if there is a topic for it.

    Args:
        region: of the endpoint.
        queued: the request.
        received: when it left the queue, in seconds since 1970.
        result: the container's answer, or why there is none.
    """
    config = queued.output.get("NotificationConfig", {})
    failed = isinstance(result, ApiError)
    topic = config.get("ErrorTopic" if failed else "SuccessTopic")
    if not topic:
        return
    message = _message(region, queued, received, result)
    kind = "ERROR_NOTIFICATION_TOPIC" if failed else "SUCCESS_NOTIFICATION_TOPIC"
    if kind in config.get("IncludeInferenceResponseIn", []):
        body = result.body if isinstance(result, Answer) else _original(result)
        if len(body) <= _INCLUDED_BYTES:
            message["responseBody"] = _included(body)
    backend: Any = sns_backends[ACCOUNT][topic.split(":")[3]]
    try:
        backend.publish(json.dumps(message), arn=topic)
    except ServiceException as failure:
        log.warning("SNS topic %s: %s", topic, failure)


def _message(region: str, queued: Queued, received: float, result: Answer | ApiError) -> Record:
    """Return the message, with the members that SageMaker's documentation shows."""
    message: Record = {
        "awsRegion": region,
        "eventTime": _iso(time.time()),
        "receivedTime": _iso(received),
        "invocationStatus": "Completed",
        "requestParameters": {
            "contentType": queued.headers["Content-Type"],
            "endpointName": queued.endpoint,
            "inputLocation": queued.source,
        },
        "inferenceId": queued.identifier,
        "eventVersion": "1.0",
        "eventSource": "aws:sagemaker",
        "eventName": "InferenceResult",
    }
    if isinstance(result, ApiError):
        failure = {"invocationStatus": "Failed", "failureReason": result.message}
        return message | failure | {"responseParameters": {"outputLocation": str(queued.failed)}}
    headers = {name.lower(): value for name, value in result.headers.items()}
    kind = headers.get("content-type", "application/octet-stream")
    where = {"contentType": kind, "outputLocation": str(queued.done)}
    return message | {"responseParameters": where}


def _original(error: ApiError) -> bytes:
    text: str = error.fields.get("OriginalMessage", "")
    return text.encode()


def _included(body: bytes) -> Record:
    """Return an answer for a notification: as text if it is some, else as base64."""
    try:
        return {"content": body.decode(), "encoding": "UTF-8"}
    except UnicodeDecodeError:
        return {"content": base64.b64encode(body).decode(), "encoding": "BASE64"}


def _iso(moment: float) -> str:
    return (
        time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(moment)) + f".{int(moment % 1 * 1000):03d}Z"
    )
