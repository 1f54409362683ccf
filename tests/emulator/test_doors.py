"""The emulator lets in its own clients only: not web pages, not other users of the machine."""

import datetime as dt
import http.client
import json
import re
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3  # type: ignore[import-untyped, unused-ignore]
import pytest
from werkzeug.datastructures import Headers
from werkzeug.test import EnvironBuilder

from emulator.api import door
from emulator.settings import Settings
from tests.emulator.client import (
    BUCKET,
    IMAGES,
    KEY,
    MACHINE,
    ROLE,
    Emulator,
    files_below,
    presign,
    refused,
    signed,
    with_photos,
)

SOURCE = {"S3DataType": "S3Prefix", "S3Uri": f"s3://{BUCKET}/photos"}
JOB = json.dumps(
    {
        "TrainingJobName": "intruder",
        "RoleArn": ROLE,
        "AlgorithmSpecification": {"TrainingImage": "trainer", "TrainingInputMode": "File"},
        "InputDataConfig": [{"ChannelName": "train", "DataSource": {"S3DataSource": SOURCE}}],
        "OutputDataConfig": {"S3OutputPath": f"s3://{BUCKET}/out"},
        "ResourceConfig": MACHINE,
        "StoppingCondition": {"MaxRuntimeInSeconds": 3600},
    }
)
TARGET = {"X-Amz-Target": "SageMaker.CreateTrainingJob"}
# What an intruder would do: method, path, service, headers, body.
VERBS: dict[str, tuple[str, str, str, dict[str, str], str]] = {
    "start a job": ("POST", "/", "sagemaker", TARGET, JOB),
    "interrupt a job": ("POST", "/_emulator/interrupt/x", "sagemaker", {}, ""),
    "read the status": ("GET", "/_emulator/status", "sagemaker", {}, ""),
    "invoke": ("POST", "/endpoints/x/invocations", "sagemaker", {}, "x"),
    "write an object": ("PUT", f"/{BUCKET}/intruder", "s3", {}, "x"),
    "read an object": ("GET", f"/{BUCKET}/photos/cat/1.jpg", "s3", {}, ""),
    "list objects": ("GET", f"/{BUCKET}", "s3", {}, ""),
    "delete an object": ("DELETE", f"/{BUCKET}/photos/cat/1.jpg", "s3", {}, ""),
    "delete a bucket": ("DELETE", "/kept-empty", "s3", {}, ""),
    "reset": ("POST", "/moto-api/reset", "s3", {}, ""),
    "read moto's data": ("GET", "/moto-api/data.json", "s3", {}, ""),
    "read its instance metadata": ("GET", "/latest/meta-data/iam", "s3", {}, ""),
    "make a user": ("POST", "/", "iam", {}, "Action=CreateUser&UserName=x&Version=2010-05-08"),
}
PAGES: dict[str, dict[str, str]] = {
    "a page by its origin": {"Origin": "https://example.com"},
    "a page without an origin": {"Origin": "null"},
    "a page of the same address": {"Origin": "http://127.0.0.1"},
    "a picture or form of a page": {"Sec-Fetch-Site": "cross-site"},
    "a page on another port": {"Sec-Fetch-Site": "same-site"},
    "a rebound name": {"Host": "example.com"},
    "a rebound name, our port": {"Host": "example.com:{port}"},
    "a name that ends like ours": {"Host": "x.localhost:{port}"},
    "another port": {"Host": "127.0.0.1:1"},
    "no host": {"Host": ""},
}


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    """Tests must not change it."""
    with with_photos(Emulator(tmp_path_factory.mktemp("doors") / "state", IMAGES)) as emulator:
        emulator.s3.create_bucket(Bucket="kept-empty")
        yield emulator


def send(
    emulator: Emulator, method: str, path: str, headers: dict[str, str], body: str = ""
) -> tuple[int, dict[str, str], str]:
    """Send exactly these headers; return status, headers (lower case), and body."""
    connection = http.client.HTTPConnection(emulator.url.removeprefix("http://"), timeout=60)
    port = str(connection.port)
    headers = {"Host": f"127.0.0.1:{port}", "Content-Length": str(len(body))} | headers
    connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
    for name, value in headers.items():
        connection.putheader(name, value.replace("{port}", port))
    connection.endheaders(body.encode())
    answer = connection.getresponse()
    answered = {name.lower(): value for name, value in answer.getheaders()}
    text = answer.read().decode()
    connection.close()
    return answer.status, answered, text


def state_of(emulator: Emulator) -> tuple[Any, ...]:
    """Return what an intruder could have changed."""
    jobs = emulator.sagemaker.list_training_jobs()["TrainingJobSummaries"]
    buckets = [bucket["Name"] for bucket in emulator.s3.list_buckets()["Buckets"]]
    users = emulator.client("iam").list_users()["Users"]
    return jobs, buckets, emulator.keys(), users


@pytest.mark.slow
@pytest.mark.parametrize("verb", VERBS)
def test_pages_and_strangers_can_do_nothing(emulator: Emulator, verb: str) -> None:
    method, path, service, headers, body = VERBS[verb]
    before = state_of(emulator)
    assert before[1] == [BUCKET, "kept-empty"]
    intruders = {name: signed(service) | page for name, page in PAGES.items()}  # the key leaked
    intruders["a client without a key"] = {}
    intruders["a client with another key"] = signed(service, "emulator")
    intruders["a client with a part of the key"] = signed(service, KEY[:-1])
    intruders["a client with another signature"] = {"Authorization": f"Bearer {KEY}"}
    for name, who in intruders.items():
        status, answered, text = send(emulator, method, path, headers | who, body)
        assert status == 403, (name, text)
        assert len(text) < 400
        assert not [header for header in answered if header.startswith("access-control-")], name
    assert state_of(emulator) == before


@pytest.mark.slow
def test_no_answer_lets_a_page_read_it(emulator: Emulator) -> None:
    path = f"/{BUCKET}/photos/cat/1.jpg"
    preflight = {
        "Origin": "https://example.com",
        "Access-Control-Request-Method": "PUT",
        "Access-Control-Request-Headers": "authorization",
    }
    for headers in ({}, preflight, signed("s3")):
        assert send(emulator, "OPTIONS", path, headers)[0] == 403
    status, answered, text = send(emulator, "GET", path, signed("s3"))
    assert (status, text) == (200, "cat")
    assert not [name for name in answered if name.startswith("access-control-")]
    assert answered["content-security-policy"] == "sandbox"  # also if the object is a page


@pytest.mark.slow
@pytest.mark.parametrize(
    "path", ["/moto-api/", "/moto-api/reset", "/latest/meta-data/", "/favicon.ico"]
)
def test_motos_own_pages_are_off_for_everybody(emulator: Emulator, path: str) -> None:
    before = state_of(emulator)
    # POST /moto-api/reset is the emulator's own.
    for method in ("GET", "PUT" if path.endswith("reset") else "POST"):
        status, _, text = send(emulator, method, path, signed("s3"))
        assert status == 403
        assert "is off" in text
    assert state_of(emulator) == before


@pytest.mark.slow
def test_the_first_page_says_what_it_is(emulator: Emulator) -> None:
    status, answered, text = send(emulator, "GET", "/", {})
    assert (status, text) == (200, door.ABOUT)
    assert answered["content-type"].startswith("text/plain")
    assert send(emulator, "POST", "/", {})[0] == 403
    assert send(emulator, "GET", "/", {"Host": "example.com"})[0] == 403
    assert send(emulator, "GET", "/", {"Host": "localhost:{port}"})[0] == 200


@pytest.mark.slow
def test_clients_of_aws_see_its_errors(emulator: Emulator) -> None:
    codes = {}
    calls = {"sagemaker": "list_models", "s3": "list_buckets", "iam": "list_users"}
    for service, call in calls.items():
        client = boto3.client(
            service,
            endpoint_url=emulator.url,
            region_name="us-east-1",
            aws_access_key_id="wrong",
            aws_secret_access_key="x",  # noqa: S106
        )
        codes[service], message = refused(getattr(client, call))
        assert "emulator status" in message
        client.close()
    assert codes == {
        "sagemaker": "UnrecognizedClientException",
        "s3": "InvalidAccessKeyId",
        "iam": "InvalidClientTokenId",
    }


@pytest.mark.slow
def test_presigned_addresses_work_and_name_the_key(emulator: Emulator) -> None:
    for version in ("s3v4", "s3"):
        url = presign(emulator, version, "get_object", Bucket=BUCKET, Key="photos/cat/1.jpg")
        path = url.removeprefix(emulator.url)
        assert send(emulator, "GET", path, {})[::2] == (200, "cat")
        assert send(emulator, "GET", path.replace(KEY, "other"), {})[0] == 403


@pytest.mark.slow
def test_only_this_user_can_read_the_state(emulator: Emulator) -> None:
    emulator.train("private")
    emulator.ended("private")
    assert stat.S_IMODE(emulator.state.stat().st_mode) == 0o700
    # The job's own folder, for its container, vanishes about now.
    jobs = emulator.state / "jobs"
    files = [path for path in files_below(emulator.state) if jobs not in path.parents]
    kinds = {path.relative_to(emulator.state).parts[0] for path in files}
    assert {"emulator.json", "lock", "records", "s3", "logs"} <= kinds
    assert [path for path in files if path.stat().st_mode & 0o077] == []
    assert KEY in (emulator.state / "emulator.json").read_text()


def environ(headers: dict[str, str], path: str = "/", method: str = "GET") -> dict[str, Any]:
    base = "http://127.0.0.1:5000"
    return EnvironBuilder(path, base, method=method, headers=Headers(headers)).get_environ()


def test_the_door_reads_the_key_of_every_form_of_signature() -> None:
    scope = "k/20260101/us-east-1/iam/aws4_request"
    for authorization in (
        f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0",
        f"AWS4-HMAC-SHA256 SignedHeaders=host,Credential={scope},Signature=0",
        "AWS4-ECDSA-P256-SHA256 Credential=k/20260101/iam/aws4_request, Signature=0",
    ):
        request = environ({"Authorization": authorization})
        assert door.refusal(request, "k") is None
        assert door.service(request) == "iam"
        assert door.refusal(request, "K")
    presigned = "X-Amz-Credential=k%2F20260101%2Fus-east-1%2Fs3%2Faws4_request"
    for query in (presigned, "AWSAccessKeyId=k"):
        request = environ({}, f"/b/x?{query}")
        assert door.refusal(request, "k") is None
        assert door.service(request) == "s3"
        assert door.refusal(request, "kk")
    # A wrong header is not made right by the query.
    both = environ(signed("s3", "wrong"), "/b/x?AWSAccessKeyId=k")
    assert door.refusal(both, "k")


def test_presigned_addresses_expire() -> None:
    at = (dt.datetime.now(dt.UTC) - dt.timedelta(minutes=2)).strftime("%Y%m%dT%H%M%SZ")
    scope = f"X-Amz-Credential=k%2F20260101%2Fus-east-1%2Fs3%2Faws4_request&X-Amz-Date={at}"
    moment = int(time.time())
    for query, good in (
        (f"{scope}&X-Amz-Expires=300", True),
        (f"{scope}&X-Amz-Expires=60", False),
        (f"{scope}&X-Amz-Expires=soon", False),
        (f"AWSAccessKeyId=k&Expires={moment + 60}", True),
        (f"AWSAccessKeyId=k&Expires={moment - 1}", False),
    ):
        answer = door.refusal(environ({}, f"/b/x?{query}"), "k")
        assert (answer is None) == good, query
        assert answer is None or b"Request has expired" in answer.get_data()


def test_form_uploads_are_refused_by_name() -> None:
    form = environ({"Content-Type": "multipart/form-data; boundary=x"}, "/b", "POST")
    answer = door.refusal(form, "k")
    assert answer
    assert b"send the object to a presigned PUT address" in answer.get_data()


@pytest.mark.parametrize("host", ["127.0.0.1:5000", "localhost:5000"])
def test_the_door_knows_its_own_addresses_only(host: str) -> None:
    assert door.refusal(environ(signed("s3") | {"Host": host}), KEY) is None
    for wrong in (f"{host}.", f"x{host}", host.removesuffix(":5000"), f"{host}0", f"{host},x"):
        refusal = door.refusal(environ(signed("s3") | {"Host": wrong}), KEY)
        assert refusal
        assert refusal.status_code == 403


def test_each_start_has_its_own_key(tmp_path: Path) -> None:
    keys = {Settings(state=tmp_path).access_key for _ in range(20)}
    assert len(keys) == 20
    assert all(len(key) == 32 and key.isalnum() for key in keys)


@pytest.mark.slow
def test_a_browser_gets_a_page_without_scripts(emulator: Emulator) -> None:
    status, answered, text = send(emulator, "GET", "/", {"Accept": "text/html,*/*;q=0.8"})
    assert status == 200
    assert answered["content-type"].startswith("text/html")
    assert answered["content-security-policy"] == "sandbox"
    assert "kennel ui" in text
    assert "kennel emulator status" in text
    assert not re.search("<script|https?:|src=|href=", text)
    headers = {"Accept": "text/html", "Origin": "https://example.com"}
    assert send(emulator, "GET", "/", headers)[0] == 403
