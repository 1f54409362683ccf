import json
from typing import Any

import pytest

from tests.emulator.client import BUCKET, Emulator, refused
from tests.emulator.hosting import create_model

pytestmark = pytest.mark.slow


def transform(emulator: Emulator, name: str, prefix: str, **more: Any) -> dict[str, Any]:
    """Run a job over the objects under a prefix; return its description."""
    data = {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": f"s3://{BUCKET}/{prefix}"}}
    request: dict[str, Any] = {
        "TransformJobName": name,
        "ModelName": "batch",
        "TransformInput": {"DataSource": data, "ContentType": "image/jpeg", "SplitType": "None"},
        "TransformOutput": {"S3OutputPath": f"s3://{BUCKET}/answers/{name}"},
        "TransformResources": {"InstanceType": "ml.m5.large", "InstanceCount": 2},
    }
    for key, value in more.items():
        request[key] = {**request[key], **value} if isinstance(value, dict) else value
    if not emulator.sagemaker.list_models(NameContains="batch")["Models"]:
        create_model(emulator, "batch")
    emulator.sagemaker.create_transform_job(**request)
    emulator.wait_until(
        lambda: (
            emulator.sagemaker.describe_transform_job(TransformJobName=name)["TransformJobStatus"]
            != "InProgress"
        )
    )
    job: dict[str, Any] = emulator.sagemaker.describe_transform_job(TransformJobName=name)
    return job


def test_every_object_gets_an_answer(emulator: Emulator) -> None:
    job = transform(emulator, "photos", "photos/")
    assert job["TransformJobStatus"] == "Completed"
    assert emulator.keys("answers/photos/") == [
        "answers/photos/cat/1.jpg.out",
        "answers/photos/dog/2.jpg.out",
    ]
    answer = json.loads(emulator.body("answers/photos/cat/1.jpg.out"))
    assert (answer["body"], answer["type"], answer["batch"]) == ("cat", "image/jpeg", "true")
    assert answer["model"] == {"name.txt": "archived"}


def test_lines_are_sent_one_by_one_and_assembled(emulator: Emulator) -> None:
    emulator.s3.put_object(Bucket=BUCKET, Key="lines/all.csv", Body=b"1\n2\n3\n")
    job = transform(
        emulator,
        "lines",
        "lines/",
        BatchStrategy="SingleRecord",
        TransformInput={"SplitType": "Line"},
        TransformOutput={"AssembleWith": "Line"},
    )
    assert job["TransformJobStatus"] == "Completed"
    lines = emulator.body("answers/lines/all.csv.out").splitlines()
    assert [json.loads(line)["body"] for line in lines] == ["1\n", "2\n", "3\n"]


def test_an_error_answer_fails_the_job(emulator: Emulator) -> None:
    emulator.s3.put_object(Bucket=BUCKET, Key="bad/x", Body=b"status 400")
    job = transform(emulator, "bad", "bad/")
    assert job["TransformJobStatus"] == "Failed"
    assert job["FailureReason"].startswith("ClientError: ")
    assert "answered 400: as requested" in job["FailureReason"]
    code, _ = refused(emulator.sagemaker.stop_transform_job, TransformJobName="bad")
    assert code == "ValidationException"
