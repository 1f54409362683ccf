"""The HTTP server on loopback: a thread for each request; connections stay open between requests.

cheroot speaks HTTP. This module gives the application what moto and the doors expect of a request.
"""

import select
import socket
import sys
import threading
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import unquote_to_bytes

from cheroot.server import HeaderReader, HTTPConnection, HTTPRequest
from cheroot.workers.threadpool import ThreadPool
from cheroot.wsgi import Server as WsgiServer

from emulator.settings import HOST

Application = Callable[[dict[str, Any], Any], Iterable[bytes]]
_THREADS, _MOST_THREADS, _MORE = 16, 1000, 16
_MOST_CONNECTIONS = 10_000  # that wait for their next request
_BACKLOG = 1024
_IDLE_S = 120  # an SDK uses a connection again after seconds
_LARGEST_HEADER = 64 * 1024
# What is left of a refused body: up to this size it is read, else the connection is closed.
_LEFT = 64 * 1024
_ENDS_S = 5.0
# Threads here work for less than Python's 5 ms at a time, and wait for files in between.
_SWITCH_S = 0.0005
_BUFFER = 2**15  # a photo's request in one or two reads
SOON_MS = 50


class _Headers(HeaderReader):
    """Leaves out names with `_`, which a WSGI application cannot tell from `-`."""

    def _allow_header(self, key_name: bytes) -> bool:
        return b"_" not in key_name


class _Request(HTTPRequest):
    header_reader = _Headers()

    def send_headers(self) -> None:
        """Close the connection if the rest of the request would have to be read first."""
        left = getattr(self.rfile, "remaining", 0)
        if not 0 <= left <= _LEFT or (
            self.chunked_read and not getattr(self.rfile, "closed", False)
        ):
            self.close_connection = True
        super().send_headers()


class _Connection(HTTPConnection):
    RequestHandlerClass = _Request
    rbufsize = _BUFFER

    def communicate(self) -> bool:
        """Answer requests as long as the next one comes soon; return whether to keep it open.

        A connection that goes back to the selector costs two changes of threads for each request.
        """
        poll = select.poll()
        poll.register(self.socket, select.POLLIN)
        while super().communicate():  # type: ignore[no-untyped-call]
            if self.server.requests.qsize:  # others wait for a thread
                return True
            if not self.rfile.has_data() and not poll.poll(SOON_MS):
                return True
        return False


class _Threads(ThreadPool):
    """As many threads as there are requests at once."""

    def put(self, obj: Any) -> None:
        """Queue a connection with a request; start threads if all are busy."""
        super().put(obj)
        if self.idle < self.qsize:
            self.grow(_MORE)


class Server:
    """A server on loopback.

    Args:
        port: 0 for a free one.
        application: answers requests.

    Raises:
        OSError: the port is taken.
    """

    def __init__(self, port: int, application: Application) -> None:
        # Without a number cheroot does not set SO_REUSEADDR, so that the next emulator could not
        # take the same port while old connections are in TIME_WAIT.
        self._server = WsgiServer(
            (HOST, port or _free_port()), _adapted(application), server_name=HOST
        )
        self._server.requests = _Threads(self._server, min=_THREADS, max=_MOST_THREADS)
        self._server.ConnectionClass = _Connection
        self._server.max_request_header_size = _LARGEST_HEADER
        self._server.keep_alive_conn_limit = _MOST_CONNECTIONS
        self._server.request_queue_size = _BACKLOG
        self._server.timeout = _IDLE_S
        self._server.shutdown_timeout = _ENDS_S
        sys.setswitchinterval(_SWITCH_S)
        self._server.prepare()
        self.port: int = self._server.bind_addr[1]
        self._stopper: threading.Thread | None = None

    def serve(self) -> None:
        """Serve in a new thread: the main thread waits for signals."""
        threading.Thread(target=self._server.serve, name="server", daemon=True).start()

    def refuse(self) -> None:
        """Refuse new connections; requests that are being answered go on."""
        self._stopper = threading.Thread(target=self._server.stop, name="stop", daemon=True)
        self._stopper.start()

    def close(self) -> None:
        """Wait until the requests are answered."""
        if not self._stopper:
            self.refuse()
        assert self._stopper
        self._stopper.join(2 * _ENDS_S)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        found: int = probe.getsockname()[1]
        return found


def _adapted(application: Application) -> Application:
    """Return the application with the request's target as it was sent, in RAW_URI."""

    def answer(environ: dict[str, Any], start: Any) -> Iterable[bytes]:
        target = environ["RAW_URI"] = environ["REQUEST_URI"]
        # cheroot leaves %2F encoded.
        path = target.partition("?")[0]
        environ["PATH_INFO"] = unquote_to_bytes(path).decode("latin-1")
        if environ["wsgi.input_terminated"]:
            environ.pop("CONTENT_LENGTH", None)
        elif not environ.get("CONTENT_LENGTH", "0").isdecimal():
            start("400 Bad Request", [("Content-Length", "0")])
            return ()
        return application(environ, start)

    return answer
