"""Invokes an endpoint with pictures: directly, or through the queue of an asynchronous one."""

import json
import re
import time
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from scripts.aws import watch
from scripts.aws.client import Aws, AwsProblem
from scripts.console import names, terminal
from scripts.problem import Problem
from scripts.requests import endpoints as requests
from scripts.requests import objects

ACCEPT = "application/json;verbose"
Photo = tuple[Path, str]  # path and content type


def invoke(aws: Aws, endpoint: str, photos: Sequence[Photo], model: str | None) -> dict[str, Any]:
    """Return the endpoint's answers by the photos' paths.

    Raises:
        Problem: a photo cannot be read, or the endpoint refused one; with the server's message.
    """
    output = _async_output(aws, endpoint)
    if output is None:
        return {str(path): _invoke(aws, endpoint, path, kind, model) for path, kind in photos}
    terminal.note(f"{endpoint} is asynchronous: pictures and answers go through {output}")
    submitted = [(path, _submit(aws, endpoint, path, kind, output)) for path, kind in photos]
    return {str(path): _wait(aws, path, locations) for path, locations in submitted}


def _async_output(aws: Aws, endpoint: str) -> str | None:
    """Where an asynchronous endpoint writes its answers; None for other endpoints."""
    try:
        config = aws.send(requests.describe(endpoint)).get("AsyncInferenceConfig")
    except AwsProblem as problem:
        if not problem.forbidden:  # a caller who can only invoke: assume a real-time endpoint
            raise
        return None
    return str(config["OutputConfig"]["S3OutputPath"]).rstrip("/") if config else None


def _invoke(aws: Aws, endpoint: str, photo: Path, kind: str, model: str | None) -> Any:
    try:
        answer = aws.send(requests.invoke(endpoint, _read(photo), kind, ACCEPT, model))
    except AwsProblem as problem:
        message = _server_message(str(problem))
        if message is None:
            raise
        raise Problem(f"{photo}: {message}") from None
    return json.loads(answer["Body"].read())


def _submit(aws: Aws, endpoint: str, photo: Path, kind: str, output: str) -> tuple[str, str]:
    """Put a photo in the queue; return the addresses of its answer and of its error."""
    address = f"{output}/requests/{uuid.uuid4()}{photo.suffix}"
    aws.send(objects.put(*names.bucket_and_key(address), _read(photo)))
    answer = aws.send(requests.invoke_async(endpoint, address, kind, ACCEPT))
    return answer["OutputLocation"], answer.get("FailureLocation", "")


def _wait(aws: Aws, photo: Path, locations: tuple[str, str]) -> Any:
    """Poll until there is an answer or an error."""
    output, failure = locations
    while True:
        if (body := _get(aws, output)) is not None:
            return json.loads(body)
        if failure and (body := _get(aws, failure)) is not None:
            text = body.decode(errors="replace")
            raise Problem(f"{photo}: {_server_message(text) or text}")
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
