import json
from typing import Any

from tests.emulator.conftest import BUCKET, Running
from tests.emulator.test_hosting import model
from tests.emulator.test_training import refused


def transform(emulator: Running, name: str, prefix: str, **more: Any) -> dict[str, Any]:
    """Run a job with boto3's waiter over one prefix, and return what became of it."""
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
    emulator.sagemaker.create_transform_job(**request)
    emulator.until(
        lambda: (
            emulator.sagemaker.describe_transform_job(TransformJobName=name)["TransformJobStatus"]
            != "InProgress"
        )
    )
    job: dict[str, Any] = emulator.sagemaker.describe_transform_job(TransformJobName=name)
    return job


def test_every_object_has_its_answer(emulator: Running) -> None:
    model(emulator, "batch")
    job = transform(emulator, "photos", "photos/")
    assert job["TransformJobStatus"] == "Completed"
    assert emulator.keys("answers/photos/") == [
        "answers/photos/cat/1.jpg.out",
        "answers/photos/dog/2.jpg.out",
    ]
    said = json.loads(emulator.body("answers/photos/cat/1.jpg.out"))
    assert (said["body"], said["type"], said["batch"]) == ("cat", "image/jpeg", "true")
    assert said["model"] == {"name.txt": "tarred"}


def test_lines_are_sent_one_by_one_and_assembled(emulator: Running) -> None:
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


def test_an_answer_that_is_an_error_fails_the_job(emulator: Running) -> None:
    emulator.s3.put_object(Bucket=BUCKET, Key="bad/x", Body=b"status 400")
    job = transform(emulator, "bad", "bad/")
    assert job["TransformJobStatus"] == "Failed"
    assert job["FailureReason"].startswith("ClientError: ")
    assert "answered 400: as you wish" in job["FailureReason"]
    code, _ = refused(emulator.sagemaker.stop_transform_job, TransformJobName="bad")
    assert code == "ValidationException"
