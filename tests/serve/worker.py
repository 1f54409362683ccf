"""A model worker for the tests: MMS's loader and service with our handler, in this process.

It uses MMS's binary protocol in both directions, as Java does:
mms/protocol/otf_message_handler.py.
"""

import json
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mms.model_loader import ModelLoaderFactory
from mms.service import Service


@dataclass(frozen=True)
class Request:
    body: bytes
    content_type: str | None = "image/jpeg"
    accept: str | None = None
    query: str | None = None
    call: str | None = None  # in multi-model mode
    encoding: str | None = None
    attributes: str | None = None


@dataclass(frozen=True)
class Reply:
    request_id: str
    content_type: str
    status: int
    status_offset: int  # in the batch's message
    phrase: str
    headers: int  # how many response headers follow
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


def load(empty: Path, handler: str = "serve.handler:handle") -> Service:
    """Load the handler as a worker process does; the handler's errors are not caught."""
    loader = ModelLoaderFactory.get_model_loader(str(empty))
    return loader.load("model", str(empty), handler, None, 8)


def ask(service: Service, *requests: Request) -> tuple[int, list[Reply]]:
    """Send one batch; return the status of the batch and each request's reply."""
    batch = []
    for number, request in enumerate(requests):
        named = {
            "X-Request-Id": f"id-{number}",
            "Content-Type": "application/octet-stream",
            "Kennel-Content-Type": request.content_type,
            "Accept": request.accept,
            "Kennel-Query": request.query,
            "Kennel-Call": request.call,
            "Kennel-Content-Encoding": request.encoding,
            "X-Amzn-SageMaker-Custom-Attributes": request.attributes,
        }
        headers = [
            {"name": bytearray(name.encode()), "value": bytearray(value.encode())}
            for name, value in named.items()
            if value is not None
        ]
        body = {"name": "body", "contentType": "application/octet-stream"}
        batch.append(
            {
                "requestId": bytearray(f"job-{number}".encode()),
                "headers": headers,
                "parameters": [{**body, "value": bytearray(request.body)}],
            }
        )
    return read(bytes(service.predict(batch)))


def read(message: bytes) -> tuple[int, list[Reply]]:
    place = 0

    def integer() -> int:
        nonlocal place
        place += 4
        number: int = struct.unpack("!i", message[place - 4 : place])[0]
        return number

    def text(length: int) -> bytes:
        nonlocal place
        place += length
        return message[place - length : place]

    code = integer()
    text(integer())
    replies = []
    while (length := integer()) != -1:
        request_id = text(length).decode()
        content_type = text(integer()).decode()
        status_offset = place
        status = integer()
        phrase = text(integer()).decode()
        headers = integer()
        body = text(integer())
        replies.append(
            Reply(request_id, content_type, status, status_offset, phrase, headers, body)
        )
    assert place == len(message)
    return code, replies
