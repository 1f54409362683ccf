"""The process of the lane: decodes the pictures that a worker passed on, and answers for it.

nginx sends it a request again if a worker answered that its pictures are costly, and large bodies
at once. One child handles one request: it decodes in a process of its own (`confined.py`), sends
the pixels to the model server, and passes the answer on. Few children run at a time, so the lane
takes a bounded share of cores and memory, whatever is sent; further requests wait.

    python -m serve.lane.server PORT      # of the model server
"""

import contextlib
import http.client
import logging
import os
import re
import socketserver
import sys
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler
from pathlib import Path

from pictures.decoder import BYTES_PER_PIXEL
from pictures.geometry import CentreCrop
from pictures.text import printable
from serve.decoding import parse, read_lines
from serve.errors import RequestError, first
from serve.formats import answers
from serve.front import headers as names
from serve.front import processes
from serve.front.headers import CALL, PIXELS, REQUEST_ID
from serve.lane import confined, handover
from serve.lane.handover import MODEL, Decoded
from serve.settings import Settings

log = logging.getLogger(__name__)

_PASSED_ON = (
    names.ACCEPT, names.CONTENT_TYPE, names.CONTENT_ENCODING, REQUEST_ID, CALL, names.QUERY,
    names.ATTRIBUTES,
)  # fmt: skip
_INVOKED = re.compile(r"POST /models/([A-Za-z0-9._-]+)/invoke")
# Each child takes so long at most; more waiting requests would run into nginx's limit.
_WAITING = 5
_ANSWER_WITHIN_S = 65
# Python, the body and what is parsed of it, the resize, the result.
_MORE_MEMORY = 512 * 2**20


def memory(settings: Settings) -> int:
    """Return the bytes that decoding one request can take."""
    return BYTES_PER_PIXEL * settings.max_pixels + 4 * settings.max_body + _MORE_MEMORY


class Lane(socketserver.ForkingMixIn, socketserver.UnixStreamServer):
    """Listens on a unix socket in the folder of the lane.

    Args:
        folder: of the lane.
        port: of the model server.
        settings: the limits.
    """

    def __init__(self, folder: Path, port: int, settings: Settings) -> None:
        self.folder, self.port, self.settings = folder, port, settings
        self.max_children = settings.lane_slots
        self.request_queue_size = _WAITING * settings.lane_slots
        socket = folder / handover.SOCKET
        socket.unlink(missing_ok=True)
        super().__init__(str(socket), _Request)
        socket.chmod(0o666)  # the folder is private; nginx can run as another user

    def handle_error(self, request: object, client_address: object) -> None:  # noqa: ARG002
        """Say in one line why a request has no answer; nginx answers with 503."""
        error = sys.exc_info()[1]
        if not isinstance(error, BrokenPipeError | ConnectionResetError):  # the client left
            log.warning("a costly request failed: %s", printable(repr(error)[:500]))

    def answer(self, headers: Mapping[str, str], body: bytes) -> tuple[int, str, bytes]:
        """Return status, content type and body of the answer.

        Raises:
            RequestError: 4xx with the reason.
        """
        invoked = _INVOKED.fullmatch(headers.get(CALL, ""))
        name = invoked[1] if invoked else MODEL
        crop = handover.crop_of(self.folder, name)
        if crop is None:
            raise RequestError(404, f"model {name} is not loaded", "load it with POST /models")
        pixels = self.folder / handover.new_name()
        try:
            confined.run(
                lambda: _decode(headers, body, crop, self.settings, pixels),
                seconds=self.settings.decode_s,
                memory=memory(self.settings),
            )
            return self._forward({**headers, PIXELS: pixels.name})
        finally:
            pixels.unlink(missing_ok=True)

    def _forward(self, headers: Mapping[str, str]) -> tuple[int, str, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=_ANSWER_WITHIN_S)
        with contextlib.closing(connection):
            more = {"Content-Type": "application/octet-stream"}
            connection.request("POST", f"/models/{MODEL}/invoke", b"", {**headers, **more})
            response = connection.getresponse()
            kind = response.headers.get("Content-Type", answers.JSON)
            return response.status, kind, response.read()


def _decode(
    headers: Mapping[str, str], body: bytes, crop: CentreCrop, settings: Settings, path: Path
) -> None:
    content, asked = parse(headers, body, settings)
    pixels, errors = read_lines(content, crop, settings)
    if errors and not asked.answer_format.is_lines:
        raise first(errors)
    parameters = asked.options.model_dump(exclude_unset=True)
    handover.write(path, Decoded(pixels, content.is_list, parameters, errors))


class _Request(BaseHTTPRequestHandler):
    server: Lane
    protocol_version = "HTTP/1.0"

    def do_POST(self) -> None:
        headers = {
            name: value for name in _PASSED_ON if (value := self.headers.get(name)) is not None
        }
        try:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status, kind, answer = self.server.answer(headers, body)
        except RequestError as error:
            status, kind = error.code, answers.JSON
            answer = error.body(headers.get(REQUEST_ID, ""))
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Log nothing for a request."""


def main(port: str) -> None:
    """Serve until the supervisor ends."""
    logging.basicConfig(format="%(asctime)s %(levelname)-5s lane: %(message)s", level="WARNING")
    processes.set_process_name("kennel-lane")
    folder = handover.folder()
    assert folder is not None, f"{handover.FOLDER_VARIABLE} is set by the supervisor"
    handover.remove_left_over(folder)
    with Lane(folder, int(port), Settings.from_environment()) as lane:
        lane.serve_forever(poll_interval=5)


if __name__ == "__main__":
    main(sys.argv[1])
    os._exit(0)
