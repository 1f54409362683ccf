"""`kennel writeup` reads every answer that AWS's API model allows: with all members, or only the
required ones, as jobs have that were not started by Kennel."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import botocore.session  # type: ignore[import-untyped]
import pytest
from botocore.model import Shape  # type: ignore[import-untyped]

from tests.scripts.conftest import use_endpoint
from tests.scripts.kennel import kennel
from tests.scripts.writeup import rendered

IDENTITY = """<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
<GetCallerIdentityResult><Arn>arn:aws:iam::123456789012:user/u</Arn><UserId>u</UserId>
<Account>123456789012</Account></GetCallerIdentityResult></GetCallerIdentityResponse>"""
ENDED = {
    "TrainingJobStatus": "Completed",
    "HyperParameterTuningJobStatus": "Completed",
    "TransformJobStatus": "Completed",
    "Strategy": "Bayesian",
    "MetricName": "validation:accuracy",
    "TrainingJobName": "stranger-1",
    "S3OutputPath": "s3://bucket/jobs",
    "S3Uri": "s3://bucket/data",
    "InstanceType": "ml.m5.large",
}


def built(shape: Shape, *, whole: bool, name: str = "", inside: tuple[str, ...] = ()) -> Any:
    """A value of a shape: with all members, or with the required ones."""
    if shape.name in inside:
        return {} if shape.type_name in ("structure", "map") else []
    inside = (*inside, shape.name)
    match shape.type_name:
        case "structure":
            return {
                key: built(member, whole=whole, name=key, inside=inside)
                for key, member in shape.members.items()
                if (whole or key in shape.required_members) and key != "NextToken"
            }
        case "list":
            return [built(shape.member, whole=whole, inside=inside)] if whole else []
        case "map":
            return {"k": built(shape.value, whole=whole, inside=inside)} if whole else {}
        case "string":
            return ENDED.get(name) or (shape.enum[0] if shape.enum else "x")
        case "timestamp":
            return 1_700_000_000
        case "boolean":
            return True
    return 1


class Service(BaseHTTPRequestHandler):
    """Answers each operation with what the model says; S3 has nothing."""

    whole = True
    kind = "Describe"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        service, _, operation = self.headers.get("X-Amz-Target", "").partition(".")
        if not operation:
            known = b"GetCallerIdentity" in body
            self._send(200 if known else 403, IDENTITY if known else "<Error/>", "text/xml")
        elif b'"stranger"' in body and operation.endswith("Job") and self.kind not in operation:
            self._send(400, json.dumps({"__type": "ResourceNotFound", "message": "no"}))
        else:
            self._answer("logs" if "Logs" in service else "sagemaker", operation)

    def do_GET(self) -> None:
        self._send(404, "<Error><Code>NoSuchBucket</Code><Message>no</Message></Error>", "text/xml")

    do_HEAD = do_GET  # noqa: N815 the name that http.server calls

    def _answer(self, service: str, operation: str) -> None:
        model = botocore.session.get_session().get_service_model(service)
        shape = model.operation_model(operation).output_shape
        if service == "logs":
            self._send(200, json.dumps({"logStreams": []}))
            return
        self._send(200, json.dumps(built(shape, whole=self.whole)))

    def _send(self, status: int, text: str, kind: str = "application/x-amz-json-1.1") -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(text.encode())))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(text.encode())

    def log_message(self, *_: object) -> None:
        """Print nothing."""


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Service)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    use_endpoint(monkeypatch, f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    yield
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.slow
@pytest.mark.parametrize("whole", [True, False], ids=["all members", "required members"])
@pytest.mark.parametrize("kind", ["TrainingJob", "HyperParameterTuningJob", "TransformJob"])
def test_every_answer_of_the_model_is_read(
    kind: str, whole: bool, aws: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Service, "whole", whole)
    monkeypatch.setattr(Service, "kind", f"Describe{kind}")
    done = kennel("writeup", "stranger", "--out", str(tmp_path / "out"))
    assert done.code == 0, done.err
    page = rendered.page(tmp_path / "out" / "writeup.md")
    assert "account 123456789012 in us-east-1" in page.text
    kinds = [row[1] for row in page.cells if len(row) == 8][1:]
    expected = {"TrainingJob": "training", "HyperParameterTuningJob": "tuning"}
    assert kinds[0] in (expected.get(kind, "transform"), "trial")
