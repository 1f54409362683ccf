"""Asking an endpoint about pictures: at once, or through an asynchronous endpoint's queue in S3."""

import json
import re
import time
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from scripts.aws import watch
from scripts.aws.client import Aws, AwsProblem
from scripts.console import names, shown
from scripts.problem import Problem
from scripts.requests import endpoints as requests

ACCEPT = "application/json;verbose"
Photo = tuple[Path, str]  # and its content type


def ask(aws: Aws, endpoint: str, photos: Sequence[Photo], model: str | None) -> dict[str, Any]:
    """The endpoint's answers by the photos' paths.

    Raises:
        Problem: a photo cannot be read, or the endpoint refused one; the server's own words.
    """
    output = _queue(aws, endpoint)
    if output is None:
        return {str(path): _at_once(aws, endpoint, path, kind, model) for path, kind in photos}
    shown.say(f"{endpoint} is asynchronous: pictures and answers go through {output}")
    asked = [(path, _put_in(aws, endpoint, path, kind, output)) for path, kind in photos]
    return {str(path): _awaited(aws, path, places) for path, places in asked}


def _queue(aws: Aws, endpoint: str) -> str | None:
    """Where an asynchronous endpoint's answers go; None for one that answers at once."""
    try:
        config = aws.send(requests.described(endpoint)).get("AsyncInferenceConfig")
    except AwsProblem as problem:
        if not problem.forbidden:  # who may only ask takes it for one that answers at once
            raise
        return None
    return str(config["OutputConfig"]["S3OutputPath"]).rstrip("/") if config else None


def _at_once(aws: Aws, endpoint: str, photo: Path, kind: str, model: str | None) -> Any:
    try:
        answer = aws.send(requests.invoked(endpoint, _read(photo), kind, ACCEPT, model))
    except AwsProblem as problem:
        said = _server_said(str(problem))
        if said is None:
            raise
        raise Problem(f"{photo}: {said}") from None
    return json.loads(answer["Body"].read())


def _put_in(aws: Aws, endpoint: str, photo: Path, kind: str, output: str) -> tuple[str, str]:
    """Put a photo in the queue; return where its answer will lie, and where its error."""
    place = f"{output}/asked/{uuid.uuid4()}{photo.suffix}"
    aws.send(requests.put(*names.bucket_and_key(place), _read(photo)))
    answer = aws.send(requests.queued(endpoint, place, kind, ACCEPT))
    return answer["OutputLocation"], answer.get("FailureLocation", "")


def _awaited(aws: Aws, photo: Path, places: tuple[str, str]) -> Any:
    """Look again and again until the answer lies there; Ctrl-C ends the looking."""
    done, failed = places
    while True:
        if (body := _object(aws, done)) is not None:
            return json.loads(body)
        if failed and (body := _object(aws, failed)) is not None:
            text = body.decode(errors="replace")
            raise Problem(f"{photo}: {_server_said(text) or text}")
        time.sleep(watch.EVERY)


def _object(aws: Aws, place: str) -> bytes | None:
    try:
        body = aws.send(requests.fetched(*names.bucket_and_key(place)))["Body"]
    except AwsProblem as problem:
        # Without the right to list, S3 says 403 of what is not there yet.
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


def _server_said(text: str) -> str | None:
    """The server's own words, which SageMaker wraps: … from primary with message "{…}"."""
    wrapped = re.search(r'"(\{.*\})\s*"', text, re.DOTALL)
    try:
        said = json.loads(wrapped[1]) if wrapped else {}
    except ValueError:
        said = {}
    if "message" not in said:
        return None
    hint = f": {said['hint']}" if said.get("hint") else ""
    return f"{said.get('code', '')} {said['message']}{hint}"
