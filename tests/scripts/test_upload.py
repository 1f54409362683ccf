"""What `kennel data upload` sends: recorded by a server on loopback, and checked by S3."""

import hashlib
import json
import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import boto3  # type: ignore[import-untyped]
import pytest

from scripts.aws.client import Aws, AwsProblem
from scripts.photos import upload
from scripts.problem import Problem
from tests.scripts.conftest import REGION, use_endpoint

SMALL, LARGE = 20_000, upload.AT_ONCE + 1


class Recorder(BaseHTTPRequestHandler):
    """Answers every request like an S3 without objects, and records the requests' headers."""

    protocol_version = "HTTP/1.1"
    asked: list[str]
    agents: set[str]

    def do_GET(self) -> None:
        if "?" in self.path:
            self._answer(200, b"<List></List>")
        else:
            self._answer(404, b"<Error><Code>NoSuchKey</Code></Error>")

    def do_PUT(self) -> None:
        if self.headers["Expect"]:
            self.asked.append(self.path)
        self.agents.add(self.headers["User-Agent"])
        self.rfile.read(int(self.headers["Content-Length"]))
        self._answer(200, b"")

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Recorder]]:
    class Recording(Recorder):
        asked, agents = [], set()

    with ThreadingHTTPServer(("127.0.0.1", 0), Recording) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        use_endpoint(monkeypatch, f"http://127.0.0.1:{server.server_port}")
        yield Recording
        server.shutdown()


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A small file and a large one."""
    for name, size in (("small", SMALL), ("large", LARGE)):
        file = tmp_path / name / "1.jpg"
        file.parent.mkdir()
        file.write_bytes(os.urandom(size))
    return tmp_path


def send(photos: Path, address: str) -> None:
    aws = Aws(REGION)
    upload.run(aws, upload.plan(aws, photos, address))


def test_only_large_files_wait_for_the_servers_consent(
    photos: Path, recorder: type[Recorder]
) -> None:
    send(photos, "s3://photos/pets")
    assert recorder.asked == ["/photos/pets/large/1.jpg"]


def test_requests_name_kennel_and_the_users_application(
    photos: Path, recorder: type[Recorder], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SDK_UA_APP_ID", "kennels-of-bonn")
    send(photos, "s3://photos/pets")
    (agent,) = recorder.agents
    assert agent.startswith("kennel/")
    assert "Botocore/" in agent
    assert "app/kennels-of-bonn" in agent


def test_small_and_large_files_arrive_whole_with_their_checksum(
    photos: Path, emulator: str
) -> None:
    client = boto3.client("s3")
    client.create_bucket(Bucket="whole")
    send(photos, "s3://whole/pets")
    for name in ("small", "large"):
        found = client.get_object(Bucket="whole", Key=f"pets/{name}/1.jpg", ChecksumMode="ENABLED")
        assert found["Body"].read() == (photos / name / "1.jpg").read_bytes()
        assert found["ChecksumSHA256"]


@pytest.mark.parametrize("name", ["small", "large"])
def test_the_manifest_has_what_was_sent(name: str, photos: Path, emulator: str) -> None:
    client = boto3.client("s3")
    client.create_bucket(Bucket="changed")
    aws, address = Aws(REGION), f"s3://changed/{name}"
    todo = upload.plan(aws, photos, address)
    file = photos / name / "1.jpg"
    file.write_bytes(os.urandom(file.stat().st_size))  # after the plan
    upload.run(aws, todo)
    manifest = client.get_object(Bucket="changed", Key=f"{name}/{upload.MANIFEST}")["Body"].read()
    found = client.get_object(Bucket="changed", Key=f"{name}/{name}/1.jpg")["Body"].read()
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    assert json.loads(manifest)["sha256"][f"{name}/1.jpg"] == digest
    assert hashlib.sha256(found).hexdigest() == digest
    assert upload.plan(aws, photos, address).send == {}


def test_a_file_of_the_same_size_that_changed_is_sent_again(photos: Path, emulator: str) -> None:
    boto3.client("s3").create_bucket(Bucket="same-size")
    aws = Aws(REGION)
    send(photos, "s3://same-size/pets")
    file = photos / "small" / "1.jpg"
    file.write_bytes(os.urandom(SMALL))
    todo = upload.plan(aws, photos, "s3://same-size/pets")
    assert set(todo.send) == {"small/1.jpg"}
    assert set(todo.same) == {"large/1.jpg"}


def test_an_error_in_one_file_leaves_the_others_in_the_manifest(
    photos: Path, emulator: str
) -> None:
    boto3.client("s3").create_bucket(Bucket="one-fails")
    aws, address = Aws(REGION), "s3://one-fails/pets"
    todo = upload.plan(aws, photos, address)
    (photos / "small" / "1.jpg").unlink()
    with pytest.raises(FileNotFoundError):
        upload.run(aws, todo)
    again = upload.plan(aws, photos, address)
    assert (set(again.send), set(again.same)) == (set(), {"large/1.jpg"})


def test_files_that_cannot_be_read_are_named_before_anything_is_sent(photos: Path) -> None:
    closed = [photos / name / "1.jpg" for name in ("large", "small")]
    for file in closed:
        file.chmod(0)
    if os.access(closed[0], os.R_OK):
        pytest.skip("the superuser can read every file")
    with pytest.raises(Problem, match=r"no permission to read large/1.jpg, small/1.jpg: make them"):
        upload.local_files(photos)


def test_a_bucket_that_is_gone_is_an_error(photos: Path, emulator: str) -> None:
    aws = Aws(REGION)
    boto3.client("s3").create_bucket(Bucket="short-lived")
    todo = upload.plan(aws, photos, "s3://short-lived/pets")
    boto3.client("s3").delete_bucket(Bucket="short-lived")
    with pytest.raises(AwsProblem) as caught:
        upload.run(aws, todo)
    assert caught.value.missing
