"""An emulator in its own process, with boto3 as its client."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3  # type: ignore[import-untyped, unused-ignore]
import pytest
from botocore.exceptions import ClientError  # type: ignore[import-untyped, unused-ignore]

from tests.emulator import shapes

ROLE = "arn:aws:iam::123456789012:role/kennel"
BUCKET = "kennel-data"
KEY = "testkey"
HERE = Path(__file__).parent
IMAGES = {
    "trainer*": {"train": str(HERE / "trainer.py")},
    "server*": {"serve": str(HERE / "model_server.py")},
}
MACHINE = {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1}
TWO_MACHINES = MACHINE | {"InstanceCount": 2}
QUICK = {"Delay": 0.1, "MaxAttempts": 1800}  # of boto3's waiters
# Short limits where a test waits for them, long ones where a busy machine must not reach them.
LIMITS: dict[str, float] = {
    "stop_grace_s": 6,
    "spot_notice_s": 60,
    "checkpoint_sync_s": 0.2,
    "ping_every_s": 0.2,
    "ping_s": 10,
    "startup_s": 120,
    "invocation_s": 5,
    "endpoint_grace_s": 20,
    "payload_bytes": 10_000,
}


@dataclass
class Emulator:
    """An emulator; `images` has the Python file that each image runs for each verb."""

    state: Path
    images: dict[str, dict[str, str]]
    options: tuple[str, ...] = ("--engine", "process")
    limits: dict[str, float] = field(default_factory=dict)
    url: str = ""
    process: "subprocess.Popen[str] | None" = None
    _clients: dict[str, Any] = field(default_factory=dict)

    def start(self) -> "Emulator":
        """Start it and wait until it is ready."""
        config = self.state.with_suffix(".toml")
        limits = {**LIMITS, **self.limits}
        lines = ["[limits]", *(f"{name} = {value}" for name, value in limits.items())]
        for match, verbs in self.images.items():
            lines += ["[[images]]", f"match = {json.dumps(match)}"]
            lines += [
                f"{verb} = {json.dumps([sys.executable, '-u', file])}"
                for verb, file in verbs.items()
            ]
        config.write_text("\n".join(lines))
        words = ["run", "--state", str(self.state), "--config", str(config), *self.options]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "emulator", *words, "--access-key", KEY],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout
        line = self.process.stdout.readline()
        if not line.startswith("ready: http://127.0.0.1:"):
            self.end()
            raise AssertionError(f"the emulator printed {line!r}")
        self.url = line.split()[1]
        self._clients.clear()
        return self

    def end(self, number: int = signal.SIGTERM) -> None:
        """Send a signal and wait until it has ended."""
        assert self.process
        assert self.process.stdout
        self.process.send_signal(number)
        self.process.wait()
        self.process.stdout.close()
        for client in self._clients.values():
            client.close()
        self._clients.clear()

    def client(self, service: str, region: str = "us-east-1") -> Any:
        """Return a boto3 client, made as any user would make it."""
        key = f"{service} {region}"
        if key not in self._clients:
            self._clients[key] = boto3.client(
                service,
                endpoint_url=self.url,
                region_name=region,
                aws_access_key_id=KEY,
                aws_secret_access_key="emulator",  # noqa: S106
                config=boto3.session.Config(retries={"total_max_attempts": 1}),
            )
            if service == "sagemaker":
                shapes.watch(self._clients[key])
        return self._clients[key]

    @property
    def sagemaker(self) -> Any:
        return self.client("sagemaker")

    @property
    def s3(self) -> Any:
        return self.client("s3")

    def train(self, name: str, image: str = "trainer", /, **more: Any) -> None:
        """Create a training job on one channel, `train`."""
        source = {"S3DataType": "S3Prefix", "S3Uri": f"s3://{BUCKET}/photos"}
        request: dict[str, Any] = {
            "TrainingJobName": name,
            "RoleArn": ROLE,
            "AlgorithmSpecification": {
                "TrainingImage": image,
                "TrainingInputMode": "File",
                "MetricDefinitions": [{"Name": "loss", "Regex": "loss=([0-9.]+)"}],
            },
            "InputDataConfig": [{"ChannelName": "train", "DataSource": {"S3DataSource": source}}],
            "OutputDataConfig": {"S3OutputPath": f"s3://{BUCKET}/out"},
            "ResourceConfig": MACHINE,
            "StoppingCondition": {"MaxRuntimeInSeconds": 3600},
        }
        self.sagemaker.create_training_job(**(request | more))

    def job(self, name: str) -> dict[str, Any]:
        job: dict[str, Any] = self.sagemaker.describe_training_job(TrainingJobName=name)
        return job

    def ended(self, name: str) -> dict[str, Any]:
        """Wait until a training job has ended; return its description."""
        self.wait_until(
            lambda: self.job(name)["TrainingJobStatus"] in ("Completed", "Failed", "Stopped")
        )
        return self.job(name)

    def wait_until(self, condition: Callable[[], Any], seconds: float = 180) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, f"not true after {seconds} s"
            time.sleep(0.05)

    def wait_for_line(self, name: str, pattern: str = "done|configs") -> None:
        """Wait until a training job has printed something."""
        self.wait_until(lambda: self.job(name)["SecondaryStatus"] == "Training")
        self.wait_until(lambda: re.search(pattern, "\n".join(self.lines(name))))

    def lines(self, name: str) -> list[str]:
        """Return a training job's log lines."""
        return [line for lines in self.logs(name).values() for line in lines]

    def logs(self, name: str) -> dict[str, list[str]]:
        """Return a training job's log lines by stream."""
        client = self.client("logs")
        group = "/aws/sagemaker/TrainingJobs"
        streams = client.describe_log_streams(logGroupName=group, logStreamNamePrefix=f"{name}/")
        return {
            stream["logStreamName"]: [
                event["message"]
                for event in client.get_log_events(
                    logGroupName=group, logStreamName=stream["logStreamName"], startFromHead=True
                )["events"]
            ]
            for stream in streams["logStreams"]
        }

    def keys(self, prefix: str = "") -> list[str]:
        found = self.s3.list_objects_v2(Bucket=BUCKET, Prefix=prefix)
        return [entry["Key"] for entry in found.get("Contents", [])]

    def body(self, key: str) -> bytes:
        with self.s3.get_object(Bucket=BUCKET, Key=key)["Body"] as body:
            contents: bytes = body.read()
            return contents


@contextmanager
def with_photos(emulator: Emulator) -> Iterator[Emulator]:
    """Run an emulator that has the photos."""
    emulator.start()
    try:
        upload_photos(emulator)
        yield emulator
    finally:
        emulator.end()


def upload_photos(emulator: Emulator) -> None:
    """Make the bucket, with two objects under photos/."""
    emulator.s3.create_bucket(Bucket=BUCKET)
    emulator.s3.put_object(Bucket=BUCKET, Key="photos/cat/1.jpg", Body=b"cat")
    emulator.s3.put_object(
        Bucket=BUCKET, Key="photos/dog/2.jpg", Body=b"dog", ContentType="image/x"
    )


def signed(service: str, key: str = KEY) -> dict[str, str]:
    """Return the header of a request that names an access key; no signature is checked."""
    scope = f"{key}/20260101/us-east-1/{service}/aws4_request"
    return {
        "Authorization": f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0"
    }


def presign(emulator: Emulator, version: str, operation: str, /, **parameters: Any) -> str:
    """Return a presigned address of S3; `version` is of the signature, "s3" or "s3v4"."""
    client = boto3.client(
        "s3",
        endpoint_url=emulator.url,
        region_name="us-east-1",
        aws_access_key_id=KEY,
        aws_secret_access_key="emulator",  # noqa: S106
        config=boto3.session.Config(signature_version=version),
    )
    url: str = client.generate_presigned_url(operation, parameters)
    client.close()
    return url


def files_below(folder: Path) -> list[Path]:
    """Return all files below a folder. Unlike rglob, os.walk copes with folders that vanish."""
    return [Path(parent) / name for parent, _, names in os.walk(folder) for name in names]


def alive(pid: int) -> bool:
    """Whether a process runs."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):  # it ended before or while we read
        return False
    return "\nState:\tZ" not in status


def refused(call: Any, /, *arguments: Any, **more: Any) -> tuple[str, str]:
    """Return the code and message of the error that a call raises."""
    with pytest.raises(ClientError) as caught:
        call(*arguments, **more)
    error = caught.value.response["Error"]
    return error["Code"], error["Message"]
