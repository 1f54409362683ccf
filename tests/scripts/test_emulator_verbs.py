"""`kennel emulator`: start, use, status and stop."""

import re
from pathlib import Path

import boto3  # type: ignore[import-untyped]
import pytest

from tests.ports import free_port
from tests.scripts.conftest import use_endpoint
from tests.scripts.kennel import kennel

pytestmark = pytest.mark.slow


def test_start_use_status_stop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    state = ("--state", str(tmp_path / "state"))
    assert kennel("emulator", "status", *state).code == 3
    assert capfd.readouterr().out == "not running\n"
    port = ("--port", str(free_port()))
    assert kennel("emulator", "start", *state, *port, "--engine", "process").code == 0
    printed = capfd.readouterr().out
    try:
        assert printed.startswith("# engine: process; process ")
        exported = dict(re.findall(r"^export (\w+)=(.*)$", printed, re.MULTILINE))
        use_endpoint(monkeypatch, exported["AWS_ENDPOINT_URL"])
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", exported["AWS_ACCESS_KEY_ID"])
        boto3.Session().client("s3").create_bucket(Bucket="kept")
        assert "no jobs yet" in kennel("jobs").err
        assert kennel("emulator", "status", *state).code == 0
        assert re.fullmatch(re.escape(printed) + "# on disk: .*\n", capfd.readouterr().out)
    finally:
        stopped = kennel("emulator", "stop", *state)
    assert stopped.code == 0
    assert capfd.readouterr().out == "stopped\n"
    with monkeypatch.context() as patch:
        patch.setenv("AWS_MAX_ATTEMPTS", "1")
        done = kennel("jobs")
    assert done.code == 1
    assert "kennel emulator start" in done.err
    # Its data is still there.
    kennel("emulator", "start", *state, *port)
    key = re.findall(r"AWS_ACCESS_KEY_ID=(.*)", capfd.readouterr().out)[0]  # a new one
    assert key != exported["AWS_ACCESS_KEY_ID"]
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", key)
    buckets = boto3.Session().client("s3").list_buckets()["Buckets"]
    assert [one["Name"] for one in buckets] == ["kept"]
    kennel("emulator", "stop", *state)
