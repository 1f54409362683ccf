"""The door of `kennel ui`: only its own pages, in the browser that got the token, reach the app.

Every request must name this server in Host (against DNS rebinding), come from its own pages if it
says where it comes from (Origin), and carry the token: first in the address, then in a cookie.
"""

import hmac
import re
import secrets
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import parse_qs

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

# The page of a report: its scripts run, without an origin and without the network.
REPORT = "/report/"
_REPORT_POLICY = (
    "sandbox allow-scripts; default-src 'none'; script-src 'unsafe-inline'; "
    "style-src 'unsafe-inline'; img-src data:; frame-ancestors 'self'"
)
# NiceGUI compiles Vue templates in the browser, which needs 'unsafe-eval'; inline scripts need the
# nonce of their page, and nothing is loaded from or sent to another server.
_POLICY = (
    "default-src 'self'; script-src 'self' 'nonce-{nonce}' 'unsafe-eval'; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self' data:; "
    "connect-src 'self'; frame-src 'self'; object-src 'none'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'"
)
_SCRIPT = re.compile(rb"<script(?=[\s>])")
_SIGNED_IN = (
    b'<!doctype html><html lang="en"><title>kennel ui</title>'
    b'<meta http-equiv="refresh" content="0; url=/"><p><a href="/">Open kennel ui</a></p></html>'
)


class Guard:
    """An ASGI app around another; refused requests do not reach the other."""

    def __init__(self, app: App, token: str, port: int) -> None:
        self._app = app
        self._token = token
        self._hosts = frozenset(f"{name}:{port}".encode() for name in ("127.0.0.1", "localhost"))
        # Browsers share cookies between ports, so the name has the port.
        self._cookie = f"kennel-ui-{port}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or let the app answer."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        reason = self._refusal(scope)
        if scope["type"] == "websocket":
            if reason or not self._has_cookie(scope):
                await receive()
                await send({"type": "websocket.close", "code": 1008})
            else:
                await self._app(scope, receive, send)
            return
        nonce = secrets.token_urlsafe(16)
        answer = _Hardened(send, nonce, is_report=scope["path"].startswith(REPORT))
        if reason:
            await _plain(answer, 403, reason)
        elif self._has_cookie(scope):
            await self._app(scope, receive, answer)
            await answer.finish()
        elif scope["method"] == "GET" and scope["path"] == "/" and self._has_token(scope):
            await self._sign_in(answer)
        else:
            text = "the token is missing: open the address that `kennel ui` printed"
            await _plain(answer, 401, text)

    def _refusal(self, scope: Scope) -> str:
        """Say why the request comes from a stranger; empty if it does not."""
        hosts = _values(scope, b"host")
        if len(hosts) != 1 or hosts[0] not in self._hosts:
            return "Host is not this server"
        origins = _values(scope, b"origin")
        own = [b"http://" + hosts[0]]
        is_reading = scope["type"] == "http" and scope["method"] in ("GET", "HEAD")
        if origins != own and (origins or not is_reading):
            return "Origin is not this server"
        return ""

    def _has_cookie(self, scope: Scope) -> bool:
        pairs = b";".join(_values(scope, b"cookie")).decode("latin-1").split(";")
        found = (pair.strip().partition("=") for pair in pairs)
        return any(name == self._cookie and self._is_token(value) for name, _, value in found)

    def _has_token(self, scope: Scope) -> bool:
        try:
            query = parse_qs(scope["query_string"].decode("latin-1"), max_num_fields=9)
        except ValueError:
            return False
        return any(map(self._is_token, query.get("token", ())))

    def _is_token(self, text: str) -> bool:
        return hmac.compare_digest(text.encode(), self._token.encode())

    async def _sign_in(self, send: Send) -> None:
        """Move the token from the address into a cookie that scripts cannot read.

        A page that opens the next, and not a redirect: a browser that came from a link elsewhere
        would not send a strict cookie after a redirect.
        """
        cookie = f"{self._cookie}={self._token}; HttpOnly; SameSite=Strict; Path=/"
        headers = [(b"content-type", b"text/html"), (b"set-cookie", cookie.encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": _SIGNED_IN})


class _Hardened:
    """Sends an answer with the headers of the policy; scripts of pages get the nonce."""

    def __init__(self, send: Send, nonce: str, *, is_report: bool) -> None:
        self._send = send
        self._nonce = nonce
        self._is_report = is_report
        self._held: Message | None = None
        self._body = b""

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = self._headers(list(message["headers"]))
            message = {**message, "headers": headers}
            if _is_page(headers) and not self._is_report:
                self._held = message
                return
        elif message["type"] == "http.response.body" and self._held:
            self._body += message.get("body", b"")
            if message.get("more_body"):
                return
            await self.finish()
            return
        await self._send(message)

    async def finish(self) -> None:
        """Send a page that was held back until it is complete."""
        if not self._held:
            return
        held, self._held = self._held, None
        body = _SCRIPT.sub(b'<script nonce="' + self._nonce.encode() + b'"', self._body)
        headers = [one for one in held["headers"] if one[0].lower() != b"content-length"]
        headers.append((b"content-length", str(len(body)).encode()))
        await self._send({**held, "headers": headers})
        await self._send({"type": "http.response.body", "body": body})

    def _headers(self, headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
        policy = _REPORT_POLICY if self._is_report else _POLICY.format(nonce=self._nonce)
        frame = b"SAMEORIGIN" if self._is_report else b"DENY"
        headers += [
            (b"content-security-policy", policy.encode()),
            (b"x-content-type-options", b"nosniff"),
            (b"x-frame-options", frame),
            (b"referrer-policy", b"no-referrer"),
            (b"cross-origin-opener-policy", b"same-origin"),
            (b"cross-origin-resource-policy", b"same-origin"),
        ]
        if not any(name.lower() == b"cache-control" for name, _ in headers):
            headers.append((b"cache-control", b"no-store"))
        return headers


def _values(scope: Scope, wanted: bytes) -> list[bytes]:
    return [value for name, value in scope["headers"] if name.lower() == wanted]


def _is_page(headers: list[tuple[bytes, bytes]]) -> bool:
    types = [value for name, value in headers if name.lower() == b"content-type"]
    return any(value.startswith(b"text/html") for value in types)


async def _plain(send: Send, status: int, text: str) -> None:
    headers = [(b"content-type", b"text/plain; charset=utf-8")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": f"kennel ui: {text}\n".encode()})
