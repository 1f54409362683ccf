import contextlib
import http.client
import json
import os
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from serve.front import health
from tests.serve.running import until


@pytest.fixture
def socket_path() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as short:  # the path of a socket must be short
        yield Path(short) / "health.sock"


def ping(path: Path, method: str = "GET") -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("localhost")
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.connect(str(path))
    with contextlib.closing(connection):
        connection.request(method, "/ping", headers={"X-Request-Id": "me"})
        response = connection.getresponse()
        return response.status, response.read()


def test_a_report_of_this_process_is_alive(tmp_path: Path) -> None:
    mine = health.report(tmp_path, difference=1e-6)
    assert health.reports(tmp_path) == [mine]
    assert mine.alive
    assert mine.parent == os.getppid()
    assert health.start_time(mine.parent) == mine.parent_start


def test_a_later_process_with_the_same_number_is_not_the_worker(tmp_path: Path) -> None:
    mine = health.report(tmp_path)
    assert not replace(mine, start=mine.start - 1).alive


def test_a_zombie_is_not_alive() -> None:
    with subprocess.Popen(["sleep", "60"]) as child:
        assert health.start_time(child.pid) is not None
        child.kill()
        until(lambda: True if health.start_time(child.pid) is None else None)
        assert Path(f"/proc/{child.pid}").exists(), "it is a zombie"


def test_reports_of_dead_workers_are_removed_except_refusals(tmp_path: Path) -> None:
    with subprocess.Popen(["true"]) as child:
        gone = child.pid
    for refusal in (None, "no good"):
        pid = gone + (refusal is not None)
        report = {"pid": pid, "start": 0, "parent": 1, "parent_start": 0, "refusal": refusal}
        (tmp_path / f"{pid}.json").write_text(json.dumps(report))
    health.remove_dead(tmp_path)
    assert [one.refusal for one in health.reports(tmp_path)] == ["no good"]


def test_every_ping_is_computed_again(socket_path: Path) -> None:
    verdicts: Iterator[str | None] = iter([None, "the worker died", None])
    with health.HealthServer(socket_path, lambda: next(verdicts), lambda: ""):
        statuses = [ping(socket_path)[0], ping(socket_path)[0], ping(socket_path, "HEAD")[0]]
    assert statuses == [200, 503, 200]


def test_an_unhealthy_ping_has_the_reason_in_the_usual_json(socket_path: Path) -> None:
    with health.HealthServer(socket_path, lambda: "the model is loading", lambda: ""):
        status, body = ping(socket_path)
    answer = json.loads(body)
    assert set(answer) == {"code", "message", "hint", "request_id"}
    assert answer["code"] == status == 503
    assert (answer["message"], answer["request_id"]) == ("the model is loading", "me")
