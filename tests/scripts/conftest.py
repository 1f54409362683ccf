"""AWS on loopback for the verbs: moto's server for S3, ECR, IAM and Logs, or the emulator."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3  # type: ignore[import-untyped]
import pytest
from moto.server import ThreadedMotoServer

from scripts.aws import watch
from tests.scripts.digits_job import BUCKET, GRID, SPEC
from tests.scripts.kennel import kennel

REGION = "us-east-1"
TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Principal": {"Service": "sagemaker.amazonaws.com"},
            "Action": "sts:AssumeRole",
        }
    ],
}


@pytest.fixture(scope="session", autouse=True)
def _short_polls() -> None:
    """Jobs here take seconds, not hours."""
    watch.POLL_S = 0.2


def use_endpoint(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    for name in list(os.environ):
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)
    settings = {
        "AWS_ENDPOINT_URL": address,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)


@pytest.fixture(scope="session")
def _moto_address() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def moto(_moto_address: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """moto's server as AWS; its address."""
    use_endpoint(monkeypatch, _moto_address)
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")  # what moto lacks fails every time
    return _moto_address


@pytest.fixture
def nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """No credentials, no region, and an address without a server."""
    use_endpoint(monkeypatch, "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name)


@contextmanager
def run_emulator(state: Path, *options: str) -> Iterator[str]:
    """Run an emulator with the process engine; yields its address."""
    state.mkdir(exist_ok=True)
    command = ["-m", "emulator", "run", "--state", str(state), "--engine", "process", *options]
    command += ["--access-key", "test"]  # as in use_endpoint
    with (state / "log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, *command], stdout=subprocess.PIPE, stderr=log, text=True
        )
        assert process.stdout
        ready = re.match(r"ready: (http://\S+)", process.stdout.readline())
        assert ready, Path(log.name).read_text()
        try:
            yield ready[1]
        finally:
            process.terminate()
            process.wait(timeout=300)
            process.stdout.close()


@pytest.fixture(scope="session")
def emulator_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("emulator")
    config = folder.with_suffix(".toml")
    config.write_text("[limits]\nping_s = 60\n")  # a busy machine is slow
    with run_emulator(folder, "--config", str(config)) as address:
        yield address


@pytest.fixture
def emulator(emulator_address: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The emulator with the process engine as AWS; its address."""
    use_endpoint(monkeypatch, emulator_address)
    return emulator_address


@pytest.fixture(scope="session")
def tuned(emulator_address: str, few_digits: Path) -> dict[str, Any]:
    """A finished tuning job on uploaded digits: what `best --json` prints."""
    with pytest.MonkeyPatch.context() as patch:
        use_endpoint(patch, emulator_address)
        boto3.client("s3").create_bucket(Bucket=BUCKET)
        uploaded = kennel("data", "upload", str(few_digits), f"s3://{BUCKET}/data")
        assert uploaded.code == 0, uploaded.err
        done = kennel("tune", SPEC, *GRID)
        assert done.code == 0, done.err
        name = done.out.splitlines()[0]
        assert "no cost (on AWS: 2 training jobs, 1 x ml.m5.large" in done.err
        assert f"{name}: completed" in done.err
        assert "learning_rate = " in done.out
        answer: dict[str, Any] = json.loads(kennel("best", name, "--json").out)
        return answer
