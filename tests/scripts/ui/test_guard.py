"""The door of `kennel ui`: who does not name this server, or lacks the token, stays outside."""

import asyncio
import re
from collections.abc import Sequence
from typing import Any

import pytest

from scripts.ui.guard import Guard

TOKEN = "t" * 32
OWN = (b"host", b"127.0.0.1:9999")
COOKIE = (b"cookie", b"other=1; kennel-ui-9999=" + TOKEN.encode())
ORIGIN = (b"origin", b"http://127.0.0.1:9999")
_Header = tuple[bytes, bytes]


def ask(
    headers: Sequence[_Header],
    path: str = "/",
    query: bytes = b"",
    method: str = "GET",
    kind: str = "http",
    body: bytes = b"<html><head><script>one()</script></head><body>inside</body></html>",
) -> tuple[int, dict[bytes, bytes], bytes, bool]:
    """Return status, headers, body, and whether the app inside was reached."""
    sent: list[Any] = []
    reached: list[str] = []

    async def inside(scope: Any, receive: Any, send: Any) -> None:
        reached.append(scope["type"])
        if scope["type"] == "websocket":
            await send({"type": "websocket.accept"})
            return
        start = {"type": "http.response.start", "status": 200}
        await send(start | {"headers": [(b"content-type", b"text/html; charset=utf-8")]})
        await send({"type": "http.response.body", "body": body[:20], "more_body": True})
        await send({"type": "http.response.body", "body": body[20:]})

    async def receive() -> dict[str, str]:
        return {"type": f"{kind}.connect"}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": kind, "path": path, "query_string": query, "headers": list(headers)}
    asyncio.run(Guard(inside, TOKEN, 9999)(scope | {"method": method}, receive, send))
    if kind == "websocket":
        return sent[0].get("code", 0), {}, b"", bool(reached)
    return (
        sent[0]["status"],
        dict(sent[0]["headers"]),
        b"".join(one.get("body", b"") for one in sent[1:]),
        bool(reached),
    )


def test_the_token_becomes_a_cookie_that_scripts_and_other_sites_cannot_use() -> None:
    status, headers, body, reached = ask([OWN], query=b"token=" + TOKEN.encode())
    assert (status, reached) == (200, False)
    cookie = headers[b"set-cookie"].decode()
    assert cookie.startswith(f"kennel-ui-9999={TOKEN};")
    assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= set(cookie.split("; "))
    assert TOKEN.encode() not in body
    assert ask([OWN, COOKIE])[3]


@pytest.mark.parametrize(
    ("headers", "query"),
    [
        ([OWN], b""),
        ([OWN], b"token=wrong"),
        ([OWN], b"token="),
        ([OWN], b"&".join([b"a=b"] * 50)),
        ([OWN, (b"cookie", b"kennel-ui-9999=")], b""),
        ([OWN, (b"cookie", b"kennel-ui-9998=" + TOKEN.encode())], b""),
        ([OWN, (b"cookie", "kennel-ui-9999=ü".encode())], b""),
    ],
)
def test_without_the_token_nothing_answers(headers: list[_Header], query: bytes) -> None:
    status, _, body, reached = ask(headers, query=query)
    assert (status, reached) == (401, False)
    assert b"open the address that `kennel ui` printed" in body


@pytest.mark.parametrize("path", ["/jobs/x", "/_nicegui/static/nicegui.js", "/report/x"])
def test_the_token_in_the_address_opens_the_first_page_only(path: str) -> None:
    assert ask([OWN], path=path, query=b"token=" + TOKEN.encode())[0] == 401


@pytest.mark.parametrize(
    "hosts",
    [
        [],
        [b"evil.example:9999"],
        [b"127.0.0.1"],
        [b"127.0.0.1:9998"],
        [b"127.0.0.1:9999.evil.example"],
        [b"127.0.0.1:9999", b"evil.example"],
    ],
)
@pytest.mark.parametrize("kind", ["http", "websocket"])
def test_a_foreign_host_is_refused(hosts: list[bytes], kind: str) -> None:
    headers = [*((b"host", host) for host in hosts), COOKIE, ORIGIN]
    status, _, _, reached = ask(headers, kind=kind)
    assert not reached
    assert status == (403 if kind == "http" else 1008)


@pytest.mark.parametrize(
    "origin", [b"http://evil.example", b"null", b"https://127.0.0.1:9999", b"http://127.0.0.1:9998"]
)
@pytest.mark.parametrize("kind", ["http", "websocket"])
def test_a_foreign_origin_is_refused(origin: bytes, kind: str) -> None:
    assert not ask([OWN, COOKIE, (b"origin", origin)], kind=kind)[3]


def test_a_socket_and_a_post_must_say_where_they_come_from() -> None:
    assert not ask([OWN, COOKIE], kind="websocket")[3]
    assert not ask([OWN, COOKIE], method="POST")[3]
    assert ask([OWN, COOKIE, ORIGIN], kind="websocket")[3]
    assert ask([OWN, COOKIE, ORIGIN], method="POST")[3]
    assert not ask([OWN, ORIGIN], kind="websocket")[3]


def test_localhost_is_this_machine_too() -> None:
    name = (b"host", b"localhost:9999")
    assert ask([name, COOKIE])[3]
    assert not ask([name, COOKIE, ORIGIN])[3]


def test_a_page_loads_nothing_from_elsewhere_and_runs_only_its_own_scripts() -> None:
    _, headers, body, _ = ask([OWN, COOKIE])
    policy = headers[b"content-security-policy"].decode()
    assert "default-src 'self'" in policy
    assert "'unsafe-inline'" not in policy.partition("script-src")[2].partition(";")[0]
    nonce = re.search(r"'nonce-([^']+)'", policy)
    assert nonce
    assert f'<script nonce="{nonce[1]}">one()' in body.decode()
    assert headers[b"x-frame-options"] == b"DENY"
    assert headers[b"referrer-policy"] == b"no-referrer"
    assert int(headers[b"content-length"]) == len(body)
    assert ask([OWN, COOKIE])[1][b"content-security-policy"].decode() != policy


def test_a_report_has_no_origin_and_no_network() -> None:
    _, headers, body, _ = ask([OWN, COOKIE], path="/report/abc")
    policy = headers[b"content-security-policy"].decode()
    assert policy.startswith("sandbox allow-scripts; default-src 'none'")
    assert "allow-same-origin" not in policy
    assert b"nonce" not in body
