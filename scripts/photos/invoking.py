"""Invokes an endpoint with pictures: directly, or through the queue of an asynchronous one."""

import json
import re
import time
import uuid
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scripts.aws import watch
from scripts.aws.client import Aws, AwsProblem
from scripts.console import names, terminal
from scripts.photos import listing, shrink
from scripts.problem import Problem
from scripts.requests import endpoints as requests
from scripts.requests import objects

ACCEPT = "application/json;verbose"
# Requests at the same time; boto3 keeps ten connections.
_THREADS = 8
# Bytes. Source: InvokeEndpoint's Body; serverless endpoints take 4 MB.
_LIMIT = 6_291_456
_SERVERLESS_LIMIT = 4_000_000
# Seconds between two looks whether the endpoint that has pictures in its queue is still there.
CHECK_S = 30.0
# Seconds. A request waits in the queue for at most six hours, and takes at most one.
# Source: RequestTTLSeconds and InvocationTimeoutSeconds of InvokeEndpointAsync.
_LONGEST_S = 7 * 3600
# States in which SageMaker says that there is no such endpoint -> what to do.
_SILENT = {
    "Creating": "wait until `kennel endpoints` shows InService",
    "Failed": "deploy it again with `kennel deploy`, or delete it with `kennel down`",
    "Deleting": "deploy it again with `kennel deploy`",
}


@dataclass(frozen=True)
class Answer:
    """What the endpoint said about a photo: `body`, or `error` with the reason.

    Attributes:
        photo: the path.
        body: the server's JSON in its verbose form: probabilities, labels, predicted_label.
        error: why there is no body.
        shrunk_from: the bytes of the photo, if a smaller copy was sent.
        milliseconds: of the request; None for an asynchronous endpoint.
    """

    photo: Path
    body: dict[str, Any] | None
    error: str = ""
    shrunk_from: int | None = None
    milliseconds: float | None = None


def invoke(
    aws: Aws,
    endpoint: str,
    photos: Sequence[Path],
    model: str | None = None,
    attributes: str | None = None,
) -> Iterator[Answer]:
    """Yield the endpoint's answers, in the order of the photos, eight requests at a time.

    A photo that cannot be read or is refused is an answer with an error. `attributes` ask for more,
    such as `explain=gradcam`; asynchronous endpoints do not get them.

    Raises:
        AwsProblem: there is no such endpoint, also later, while pictures are in its queue; or the
            caller lacks a permission.
        Problem: the endpoint is in a state in which it cannot answer.
    """
    output, limit = _kind(aws, endpoint)
    if output is None:
        aws.client("sagemaker-runtime")  # boto3 must create a client in one thread
        with ThreadPoolExecutor(_THREADS) as pool:
            try:
                yield from pool.map(
                    lambda photo: _invoke(aws, endpoint, photo, limit, model, attributes), photos
                )
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
        return
    terminal.note(f"{endpoint} is asynchronous: pictures and answers go through {output}")
    submitted = [(photo, _submit(aws, endpoint, photo, output)) for photo in photos]
    for photo, locations in submitted:
        yield _wait(aws, endpoint, photo, locations)


def _kind(aws: Aws, endpoint: str) -> tuple[str | None, int]:
    """Where an asynchronous endpoint writes its answers, and the largest request in bytes."""
    try:
        about = aws.send(requests.describe(endpoint))
    except AwsProblem as problem:
        if not problem.forbidden:  # a caller who can only invoke: assume a real-time endpoint
            raise
        return None, _LIMIT
    if (status := about.get("EndpointStatus")) in _SILENT:
        reason = f" ({about['FailureReason']})" if about.get("FailureReason") else ""
        raise Problem(f"the endpoint {endpoint} is {status}{reason}: {_SILENT[status]}")
    if config := about.get("AsyncInferenceConfig"):
        return str(config["OutputConfig"]["S3OutputPath"]).rstrip("/"), 0
    serverless = any(
        one.get("CurrentServerlessConfig") for one in about.get("ProductionVariants", [])
    )
    return None, _SERVERLESS_LIMIT if serverless else _LIMIT


def _invoke(
    aws: Aws, endpoint: str, photo: Path, limit: int, model: str | None, attributes: str | None
) -> Answer:
    try:
        data = _read(photo)
        kind, shrunk_from = listing.content_type(photo), None
        if len(data) > limit:
            shrunk_from = len(data)
            data, kind = shrink.to_limit(photo, data, limit), "image/jpeg"
        start = time.monotonic()
        answer = aws.send(requests.invoke(endpoint, data, kind, ACCEPT, model, attributes))
        body = json.loads(answer["Body"].read())
    except AwsProblem as problem:
        message = _server_message(problem.original)
        if message is None:
            raise
        return Answer(photo, None, message)
    except Problem as problem:
        return Answer(photo, None, str(problem).removeprefix(f"{photo}: "))
    return Answer(photo, body, "", shrunk_from, 1e3 * (time.monotonic() - start))


def _submit(aws: Aws, endpoint: str, photo: Path, output: str) -> tuple[str, str] | str:
    """Put a photo in the queue; return the addresses of its answer and of its error, or why not."""
    try:
        data = _read(photo)
    except Problem as problem:
        return str(problem).removeprefix(f"{photo}: ")
    address = f"{output}/requests/{uuid.uuid4()}{photo.suffix}"
    aws.send(objects.put(*names.bucket_and_key(address), data))
    kind = listing.content_type(photo)
    answer = aws.send(requests.invoke_async(endpoint, address, kind, ACCEPT))
    return answer["OutputLocation"], answer.get("FailureLocation", "")


def _wait(aws: Aws, endpoint: str, photo: Path, locations: tuple[str, str] | str) -> Answer:
    """Poll until there is an answer or an error, or none can come.

    Raises:
        AwsProblem: the endpoint was deleted.
        Problem: the endpoint failed.
    """
    if isinstance(locations, str):
        return Answer(photo, None, locations)
    output, failure = locations
    start = checked = time.monotonic()
    while True:
        if (body := _get(aws, output)) is not None:
            return Answer(photo, json.loads(body))
        if failure and (body := _get(aws, failure)) is not None:
            text = body.decode(errors="replace")
            return Answer(photo, None, _server_message(text) or text)
        now = time.monotonic()
        if now - start > _LONGEST_S:
            return Answer(photo, None, f"SageMaker keeps no request this long: look for {output}")
        if now - checked > CHECK_S:
            _kind(aws, endpoint)
            checked = now
        time.sleep(watch.POLL_S)


def _get(aws: Aws, address: str) -> bytes | None:
    try:
        body = aws.send(objects.get(*names.bucket_and_key(address)))["Body"]
    except AwsProblem as problem:
        # Without permission to list, S3 answers 403 for an object that does not exist yet.
        if problem.missing or problem.forbidden:
            return None
        raise
    contents: bytes = body.read()
    return contents


def _read(photo: Path) -> bytes:
    try:
        return photo.read_bytes()
    except OSError as error:
        raise Problem(f"{photo}: {error.strerror}") from None


def _server_message(text: str) -> str | None:
    """The server's own message, which SageMaker wraps: … from primary with message "{…}"."""
    wrapped = re.search(r'"(\{.*\})\s*"', text, re.DOTALL)
    try:
        answer = json.loads(wrapped[1]) if wrapped else {}
    except ValueError:
        answer = {}
    if "message" not in answer:
        return None
    hint = f": {answer['hint']}" if answer.get("hint") else ""
    return f"{answer.get('code', '')} {answer['message']}{hint}"
