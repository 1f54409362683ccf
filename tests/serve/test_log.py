"""What clients send begins no line of the log and controls no terminal."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.serve.conftest import picture
from tests.serve.hostile import png
from tests.serve.running import Running, serving
from tests.serve.test_refusals import exchange

pytestmark = pytest.mark.slow

FORGED = "2026-01-01 00:00:00,000 INFO  kennel: forged"
# nginx, the supervisor, Java with the workers' lines, the lane.
LINE = re.compile(
    r"\d{4}[-/]\d\d[-/]\d\d \d\d:\d\d:\d\d(,\d+)? (\[\w+\] \d+#\d+: |[A-Z]+ +[\w ]+: )|"
    r"(WARNING|OpenJDK|SLF4J|Model server started\.)"
)
ATTACKS = (
    "\r\n", "\n", "\r", "%0a", "%0d%0a", "\\n", "\x1b[2J", "\x1b]0;x\x07", "\x9b2J", "\u2028",
    "\x85", "\x0b", "\0", "${jndi:ldap://127.0.0.1:1/x}", "%1b%5b2J", "{}", "%s%n",
)  # fmt: skip
HEADERS = (
    "X-Request-Id", "X-Amzn-SageMaker-Custom-Attributes", "X-Amzn-SageMaker-Target-Model",
    "X-Amzn-SageMaker-Inference-Id", "X-Amzn-Trace-Id", "Content-Type", "Accept", "User-Agent",
    "Content-Encoding", "Host", "Kennel-Call", "Kennel-Content-Type",
)  # fmt: skip


@pytest.fixture(scope="module")
def server(trained: Path, nginx: None) -> Iterator[Running]:
    with serving(trained, SAGEMAKER_MAX_PAYLOAD_IN_MB="1") as running:
        running.wait_for_ping(200)
        yield running


def check(server: Running) -> None:
    lines = server.log.rstrip("\n").split("\n")
    assert not [line for line in lines if line.startswith(FORGED[:19])]
    assert not [line for line in lines if not LINE.match(line)]
    written = server.log_file.read_bytes()
    assert not re.search(rb"[\x00-\x08\x0b-\x1f\x7f]|\xc2[\x80-\x9f]|\xe2\x80[\xa8\xa9]", written)


def test_headers_begin_no_line(server: Running) -> None:
    photo = picture(1)
    for header in HEADERS:
        for attack in ATTACKS:
            value = f"a{attack}{FORGED}".encode("utf-8", "surrogateescape")
            for sent in (photo, b"no picture"):
                host = b"" if header == "Host" else b"Host: x\r\n"
                exchange(
                    server.port,
                    b"POST /invocations HTTP/1.1\r\n" + host + header.encode() + b": " + value
                    + b"\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(sent) + sent,
                )  # fmt: skip
    check(server)


def test_paths_queries_and_bodies_begin_no_line(server: Running) -> None:
    for attack in ATTACKS:
        value = f"{attack}{FORGED}".encode().replace(b" ", b"_")
        large = b"Content-Length: 99999999\r\n"  # nginx logs the request line of an oversize body
        for target in (b"/invocations?a=" + value, b"/" + value, b"/models/" + value + b"/invoke"):
            for more in (b"Content-Length: 2\r\n", large):
                head = b"POST " + target + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" + more
                try:
                    exchange(server.port, head + b"\r\nxx")
                except (IndexError, ValueError):  # it closed the connection
                    continue
        text = f"{attack}{FORGED}"
        server.classify(png(9, 9, (b"tEXt", text.encode()), (b"IDAT", b"x")), "image/png")
        server.classify(text.encode(), "application/json")
        server.classify(f'{{"image": "{text}"}}'.encode(), "application/json")
    check(server)
