"""The running server of `kennel ui`, asked by strangers with plain HTTP."""

import http.client

import psutil
import pytest

from tests.scripts.ui.conftest import LIVE_MS

pytestmark = pytest.mark.slow
_SOCKET = "/_nicegui_ws/socket.io/?EIO=4&transport=polling"


def ask(address: str, path: str, headers: dict[str, str]) -> tuple[int, bytes]:
    host = address.removeprefix("http://").partition("/")[0]
    connection = http.client.HTTPConnection(host, timeout=LIVE_MS)
    try:
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def signed_in(address: str) -> dict[str, str]:
    """The cookie that the address gives."""
    host = address.removeprefix("http://").partition("/")[0]
    connection = http.client.HTTPConnection(host, timeout=LIVE_MS)
    try:
        connection.request("GET", "/" + address.partition("/?")[2].join(("?", "")))
        answer = connection.getresponse()
        answer.read()
        return {"Cookie": str(answer.headers["Set-Cookie"]).partition(";")[0]}
    finally:
        connection.close()


def test_the_running_server_refuses_strangers(address: str) -> None:
    cookie = signed_in(address)
    assert ask(address, "/", cookie)[0] == 200
    assert ask(address, "/", {})[0] == 401
    assert ask(address, _SOCKET, {})[0] == 401
    assert ask(address, _SOCKET, cookie)[0] != 401
    for strange in ({"Host": "evil.example"}, {"Origin": "http://evil.example"}):
        for path in ("/", "/jobs/x", _SOCKET, "/report/x"):
            status, body = ask(address, path, cookie | strange)
            assert (status, path) == (403, path)
            assert b"EMULATOR" not in body
    assert ask(address, "/report/unknown", cookie)[0] == 404
    assert ask(address, "/docs", cookie)[0] == 404


def test_it_listens_on_loopback_only(address: str) -> None:
    port = int(address.removeprefix("http://").partition("/")[0].rpartition(":")[2])
    sockets = psutil.net_connections("inet")
    listening = [one.laddr for one in sockets if one.status == psutil.CONN_LISTEN and one.laddr]
    assert {one.ip for one in listening if one.port == port} == {"127.0.0.1"}
