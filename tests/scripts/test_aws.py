"""Errors of AWS, from real servers: each message says what to do."""

import time
import urllib.request
import uuid
from collections.abc import Iterator

import boto3  # type: ignore[import-untyped]
import pytest

from scripts.aws.client import Aws, AwsProblem
from scripts.aws.logs import Line, Log
from scripts.requests import jobs
from scripts.requests.request import Request
from tests.scripts.conftest import REGION
from tests.scripts.kennel import kennel

IDENTITY = Request("sts", "GetCallerIdentity", {})
USERS = Request("iam", "ListUsers", {})


def refusal(request: Request, region: str | None = REGION) -> AwsProblem:
    with pytest.raises(AwsProblem) as caught:
        Aws(region).send(request)
    return caught.value


def test_no_credentials(nowhere: None) -> None:
    message = str(refusal(IDENTITY))
    assert "no AWS credentials: run `aws configure` or `aws sso login`" in message
    assert "kennel emulator start" in message


def test_no_region(nowhere: None) -> None:
    assert "AWS_REGION" in str(refusal(IDENTITY, region=None))
    done = kennel("jobs")
    assert done.code == 1
    assert done.err.startswith("kennel: no region")


def test_a_missing_profile(nowhere: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    assert "set AWS_PROFILE to one of" in str(refusal(IDENTITY))


def test_nothing_answers(nowhere: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    message = str(refusal(IDENTITY))
    assert "nothing answers at http://127.0.0.1:9 (AWS_ENDPOINT_URL)\n" in message
    assert "kennel emulator start" in message


@pytest.fixture
def strict_moto(moto: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """moto, checking signatures and policies; the caller is a user without permissions."""
    iam = boto3.client("iam")
    name = f"nobody-{uuid.uuid4()}"
    iam.create_user(UserName=name)
    key = iam.create_access_key(UserName=name)["AccessKey"]

    def allow(calls: str) -> None:
        # moto does not read a body of a form's content type.
        plain = {"Content-Type": "text/plain"}
        address = f"{moto}/moto-api/reset-auth"
        request = urllib.request.Request(address, data=calls.encode(), headers=plain)
        with urllib.request.urlopen(request):
            pass

    allow("0")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", key["AccessKeyId"])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", key["SecretAccessKey"])
    yield moto
    allow("inf")


def test_a_missing_permission(strict_moto: str) -> None:
    problem = refusal(USERS)
    assert problem.code in ("AccessDenied", "AccessDeniedException")
    assert "iam:ListUsers" in str(problem)
    assert "add this permission to a policy of your user or role" in str(problem)


def test_unknown_credentials(strict_moto: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE")
    assert "AWS does not know these credentials" in str(refusal(USERS))


def test_a_misspelt_parameter_is_not_sent(moto: str) -> None:
    message = str(refusal(Request("sts", "GetCallerIdentity", {"Who": "me"})))
    assert 'Unknown parameter in input: "Who"' in message


def test_every_page_is_read(moto: str) -> None:
    logs = boto3.client("logs")
    logs.create_log_group(logGroupName="/many")
    for number in range(60):
        logs.create_log_stream(logGroupName="/many", logStreamName=f"job/algo-{number}")
    log = Log(Aws(REGION), "/many", "job/")
    assert len(list(log._streams())) == 60


def test_a_log_is_read_from_where_the_last_call_stopped(moto: str) -> None:
    logs = boto3.client("logs")
    log = Log(Aws(REGION), "/jobs", "pets/")
    assert list(log.new_lines()) == []  # no log group yet: the job has not started
    logs.create_log_group(logGroupName="/jobs")
    assert list(log.new_lines()) == []

    def write(host: str, *lines: str) -> None:
        now = int(time.time() * 1000)
        logs.put_log_events(
            logGroupName="/jobs",
            logStreamName=f"pets/{host}-1700000000",
            logEvents=[{"timestamp": now, "message": line} for line in lines],
        )

    for host in ("algo-1", "algo-2"):
        logs.create_log_stream(logGroupName="/jobs", logStreamName=f"pets/{host}-1700000000")
    write("algo-1", "one", "two")
    write("algo-2", "deux")
    assert list(log.new_lines()) == [
        Line("algo-1", "one"),
        Line("algo-1", "two"),
        Line("algo-2", "deux"),
    ]
    write("algo-1", "three")
    assert list(log.new_lines()) == [Line("algo-1", "three")]
    assert list(log.new_lines()) == []
    assert list(log.last) == ["one", "two", "deux", "three"]
    assert jobs.log_events("/jobs", "s", None).parameters["startFromHead"] is True
