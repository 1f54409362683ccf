"""HTTP clients for a server under test: one request, or a steady load of pictures."""

import contextlib
import http.client
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from tests.serve.conftest import picture

CLIENTS = 4
JPEG = {"Content-Type": "image/jpeg"}
PICTURES = [picture(seed) for seed in range(8)]
REFUSED, BROKEN = 0, 599  # no connection: nothing was accepted; a connection that broke


def ask(
    port: int,
    method: str,
    path: str,
    body: bytes | None = None,
    headers: dict[str, str] | None = None,
    timeout: float = 60,
) -> tuple[int, bytes]:
    """Return status and body, or REFUSED or BROKEN and the error."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    with contextlib.closing(connection):
        try:
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            return answer.status, answer.read()
        except ConnectionRefusedError as error:
            return REFUSED, repr(error).encode()
        except (OSError, http.client.HTTPException) as error:
            return BROKEN, repr(error).encode()


def classify(port: int, photo: bytes = PICTURES[0]) -> int:
    """Return the status that a picture is answered with."""
    return ask(port, "POST", "/invocations", photo, JPEG)[0]


def ping(port: int) -> int:
    """Return the status of /ping; a healthy server answers within five seconds."""
    return ask(port, "GET", "/ping", timeout=5)[0]


@dataclass
class Load:
    """Clients that send pictures without pause, each request over a connection of its own."""

    port: int
    answered: int = 0
    failed: list[int] = field(default_factory=list)  # statuses other than 200
    refused: int = 0
    _stop: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def _client(self, seed: int) -> None:
        while not self._stop.is_set():
            status = classify(self.port, PICTURES[seed % len(PICTURES)])
            seed += 1
            with self._lock:
                if status == 200:
                    self.answered += 1
                elif status == REFUSED:
                    self.refused += 1
                else:
                    self.failed.append(status)
            if status != 200:
                self._stop.wait(0.05)

    @contextlib.contextmanager
    def running(self) -> Iterator["Load"]:
        with ThreadPoolExecutor(CLIENTS) as pool:
            for seed in range(CLIENTS):
                pool.submit(self._client, seed)
            try:
                yield self
            finally:
                self._stop.set()
