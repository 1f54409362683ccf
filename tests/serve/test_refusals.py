"""What nginx refuses itself is our JSON too, and slow or idle connections cannot use it up."""

import contextlib
import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.serve.conftest import picture
from tests.serve.running import Running, serving

pytestmark = pytest.mark.slow

POST = b"POST /invocations HTTP/1.1\r\nHost: x\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
# Bytes on the wire, and the status of the answer.
BROKEN: dict[str, tuple[bytes, int]] = {
    "no HTTP": (b"hello\r\n\r\n", 400),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
    "a bad chunk": (CHUNKED + b"zzz\r\nhello\r\n0\r\n\r\n", 400),
    "a negative chunk": (CHUNKED + b"-5\r\nhello\r\n0\r\n\r\n", 400),
    "a huge chunk": (CHUNKED + b"fffffffffffffffff\r\nhello\r\n0\r\n\r\n", 400),
    "no host": (b"GET /ping HTTP/1.1\r\n\r\n", 400),
    "two hosts": (b"GET /ping HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
    "two lengths": (POST + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab", 400),
    "length and chunks": (
        POST + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400,
    ),
    "a word as length": (POST + b"Content-Length: many\r\n\r\n", 400),
    "a negative length": (POST + b"Content-Length: -1\r\n\r\n", 400),
    "a zero in a header": (POST + b"X: a\0b\r\n\r\n", 400),
    "a space in a name": (b"GET /ping HTTP/1.1\r\nHost: x\r\nX Y: z\r\n\r\n", 400),
    "a long header": (POST + b"X: " + b"x" * 5000 + b"\r\n\r\n", 431),
    "many headers": (POST + (b"X: " + b"x" * 2500 + b"\r\n") * 20 + b"\r\n", 431),
    "a long path": (b"GET /" + b"x" * 5000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 414),
    "a path out of the root": (b"GET /../../etc HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    "half an escape": (b"GET /%2 HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    "HTTP/3.0": (b"GET /ping HTTP/3.0\r\nHost: x\r\n\r\n", 505),
    "gzip as transfer": (POST + b"Transfer-Encoding: gzip\r\n\r\n", 501),
    "a large body": (POST + b"Content-Length: 99999999\r\n\r\n", 413),
    "a large body for ping": (
        b"POST /ping HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\n", 413,
    ),
    "a method for ping": (b"POST /ping HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", 405),
    "TRACE": (b"TRACE /ping HTTP/1.1\r\nHost: x\r\n\r\n", 405),
    "CONNECT": (b"CONNECT x:80 HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    "a condition": (
        b'GET /execution-parameters HTTP/1.1\r\nHost: x\r\nIf-Match: "x"\r\n\r\n', 412,
    ),
    "another path": (b"GET /models HTTP/1.1\r\nHost: x\r\n\r\n", 404),
    "inside": (b"GET /kennel-read HTTP/1.1\r\nHost: x\r\n\r\n", 404),
    "an error page": (b"GET /431 HTTP/1.1\r\nHost: x\r\n\r\n", 404),
}  # fmt: skip


def exchange(port: int, sent: bytes, host: str = "127.0.0.1") -> tuple[int, dict[str, str], bytes]:
    """Send bytes; return status, headers and body of the answer."""
    with socket.create_connection((host, port), timeout=30) as connection:
        connection.sendall(sent)
        received = b""
        with contextlib.suppress(ConnectionError, TimeoutError):
            while b"\r\n\r\n" not in received or not _whole(received):
                piece = connection.recv(65536)
                if not piece:
                    break
                received += piece
    head, _, body = received.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    return int(first.split()[1]), headers, body


def _whole(received: bytes) -> bool:
    head, _, body = received.partition(b"\r\n\r\n")
    length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
    return bool(length) and len(body) >= int(length)


@pytest.mark.parametrize("name", BROKEN)
def test_nginx_refuses_in_json(server: Running, name: str) -> None:
    sent, expected = BROKEN[name]
    status, headers, body = exchange(server.port, sent)
    assert status == expected, (name, body)
    assert headers["content-type"] == "application/json"
    fields = json.loads(body)
    assert set(fields) == {"code", "message", "hint", "request_id"}
    assert fields["code"] == expected
    assert fields["request_id"] == headers["x-request-id"]
    assert fields["hint"]


def test_a_body_that_stops_ends_the_connection(server: Running) -> None:
    assert _ends(server.port, POST + b"Content-Length: 100\r\n\r\nhalf")
    assert _ends(server.port, b"GET /ping HTTP/1.1\r\nX: ")


def _ends(port: int, first_bytes: bytes) -> bool:
    """Return whether nginx ends a connection that sends no more; it waits for 10 seconds."""
    with socket.create_connection(("127.0.0.1", port), timeout=40) as connection:
        connection.sendall(first_bytes)
        with contextlib.suppress(ConnectionError):
            while connection.recv(4096):
                pass
        return True


@contextlib.contextmanager
def connections(port: int, count: int, first_bytes: bytes) -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        for _ in range(count):
            one = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=10))
            one.sendall(first_bytes)
        yield


@pytest.mark.parametrize(
    ("kind", "first_bytes", "count"),
    [
        ("idle", b"", 1800),
        ("slow headers", b"GET /ping HTTP/1.1\r\nX: ", 1800),
        ("slow bodies", POST + b"Content-Length: 1000\r\n\r\nx", 700),
    ],
)
def test_slow_connections_leave_room_for_others(
    server: Running, kind: str, first_bytes: bytes, count: int
) -> None:
    """1,060 of them used to be the end of a server."""
    with connections(server.port, count, first_bytes):
        for _ in range(5):
            begun = time.monotonic()
            assert server.ask("GET", "/ping").status == 200, kind
            assert time.monotonic() - begun < 2, kind
            assert server.classify(picture(1)).status == 200, kind
    assert server.classify(picture(1)).status == 200


def test_too_many_open_requests_are_refused_and_ping_is_answered(
    trained: Path, nginx: None
) -> None:
    with serving(trained, SAGEMAKER_MAX_PAYLOAD_IN_MB="300") as server:
        server.wait_for_ping(200)
        # 6 GiB of bodies on disk: 20 requests of 300 MiB.
        with connections(server.port, 25, POST + b"Content-Length: 1000\r\n\r\nx"):
            refused = server.classify(picture(1))
            assert refused.status == 503
            assert refused.headers["retry-after"]
            assert refused.json()["code"] == 503
            assert server.ask("GET", "/ping").status == 200


def test_one_address_serves_both_families(trained: Path, nginx: None) -> None:
    if not socket.has_ipv6:
        pytest.skip("needs IPv6")
    with serving(trained, KENNEL_BIND_ADDRESS="::") as server:
        server.wait_for_ping(200)
        for host in ("127.0.0.1", "::1"):
            request = b"GET /ping HTTP/1.1\r\nHost: x\r\n\r\n"
            assert exchange(server.port, request, host)[0] == 200, host
