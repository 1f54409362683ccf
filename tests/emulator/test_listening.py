"""The emulator's HTTP server: connections that stay open, that pause, and that never do."""

import http.client
import socket
import threading
import time
from collections.abc import Iterable, Iterator
from typing import Any

import pytest

from emulator import listening


def number_of_thread(environ: dict[str, Any], start: Any) -> Iterable[bytes]:
    body = environ["wsgi.input"].read() + str(threading.get_ident()).encode()
    start("200 OK", [("Content-Length", str(len(body)))])
    return [body]


@pytest.fixture
def server() -> Iterator[listening.Server]:
    server = listening.Server(0, number_of_thread)
    server.serve()
    yield server
    server.close()


def ask(connection: http.client.HTTPConnection) -> bytes:
    connection.request("GET", "/")
    return connection.getresponse().read()


def test_requests_that_follow_each_other_are_answered_by_one_thread(
    server: listening.Server,
) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server.port)
    assert len({ask(connection) for _ in range(50)}) < 10
    connection.close()


def test_a_connection_is_used_again_after_a_pause(server: listening.Server) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server.port)
    ask(connection)
    used = connection.sock
    for _ in range(2):
        time.sleep(2 * listening.SOON_MS / 1000)
        ask(connection)
    assert connection.sock is used
    connection.close()


def test_requests_sent_before_the_answers_are_answered_in_order(
    server: listening.Server,
) -> None:
    host = f"127.0.0.1:{server.port}"
    with socket.create_connection(("127.0.0.1", server.port)) as client:
        client.settimeout(20)
        for letter in "abc":
            head = f"POST / HTTP/1.1\r\nHost: {host}\r\nContent-Length: 1\r\n\r\n"
            client.sendall((head + letter).encode())
        found = b""
        while found.count(b"200 OK") < 3 or not found.rpartition(b"\r\n\r\n")[2]:
            found += client.recv(4096)
    bodies = [part[:1] for part in found.split(b"\r\n\r\n")[1:]]
    assert bodies == [b"a", b"b", b"c"]


def test_more_connections_than_threads_are_answered(server: listening.Server) -> None:
    many = [http.client.HTTPConnection("127.0.0.1", server.port, timeout=20) for _ in range(100)]
    for _ in range(2):
        for connection in many:
            connection.request("GET", "/")
        assert all(connection.getresponse().read() for connection in many)
    for connection in many:
        connection.close()


def test_a_client_that_never_pauses_does_not_keep_the_server_open() -> None:
    server = listening.Server(0, number_of_thread)
    server.serve()
    answers = 0

    def never_pause() -> None:
        nonlocal answers
        connection = http.client.HTTPConnection("127.0.0.1", server.port)
        try:
            while ask(connection):
                answers += 1
        except (OSError, http.client.HTTPException):
            connection.close()

    client = threading.Thread(target=never_pause)
    client.start()
    while answers < 20:
        time.sleep(0.01)
    server.close()
    client.join(20)
    assert not client.is_alive()
