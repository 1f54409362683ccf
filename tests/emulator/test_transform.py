import json
from typing import Any

import pytest

from tests.emulator.client import BUCKET, Emulator, refused
from tests.emulator.hosting import create_model, transform

pytestmark = pytest.mark.slow


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


def test_what_the_request_leaves_out_the_container_says(emulator: Emulator) -> None:
    emulator.s3.put_object(Bucket=BUCKET, Key="asked/all.csv", Body=b"1\n2\n3\n")
    lines = {"SplitType": "Line"}

    def run(name: str, **more: Any) -> dict[str, Any]:
        job = transform(
            emulator, name, "asked/", ModelName="asked-batch", TransformInput=lines, **more
        )
        assert job["TransformJobStatus"] == "Completed"
        found: dict[str, Any] = json.loads(emulator.body(f"answers/{name}/all.csv.out"))
        return found

    parameters = {"BatchStrategy": "MULTI_RECORD", "MaxConcurrentTransforms": 2}
    create_model(emulator, "asked-batch", {"PARAMETERS": json.dumps(parameters)})
    answer = run("asked")
    assert (answer["body"], answer["strategy"]) == ("1\n2\n3\n", None)
    answer = run("told", BatchStrategy="MultiRecord")
    assert (answer["body"], answer["strategy"]) == ("1\n2\n3\n", "MULTI_RECORD")


def test_a_container_with_unusable_parameters_fails_the_job(emulator: Emulator) -> None:
    parameters = json.dumps({"MaxConcurrentTransforms": "many"})
    create_model(emulator, "wrong-batch", {"PARAMETERS": parameters})
    job = transform(emulator, "wrong", "photos/", ModelName="wrong-batch")
    assert job["FailureReason"] == (
        "AlgorithmError: the container's /execution-parameters has MaxConcurrentTransforms "
        "'many': answer a whole number from 1 to 1000"
    )


def test_an_error_answer_fails_the_job(emulator: Emulator) -> None:
    emulator.s3.put_object(Bucket=BUCKET, Key="bad/x", Body=b"status 400")
    job = transform(emulator, "bad", "bad/")
    assert job["TransformJobStatus"] == "Failed"
    assert job["FailureReason"].startswith("ClientError: ")
    assert "answered 400: as requested" in job["FailureReason"]
    assert refused(emulator.sagemaker.stop_transform_job, TransformJobName="bad") == (
        "ValidationException",
        "The request was rejected because the transform job is in status Failed.",
    )
    code, message = refused(transform, emulator, "bad", "bad/", ModelName="bad")
    assert code == "ResourceInUse"
    assert message == (
        "Job name must be unique within an AWS account and region, and a job with this name "
        "already exists (arn:aws:sagemaker:us-east-1:123456789012:transform-job/bad)"
    )


def test_a_job_that_is_not_there(emulator: Emulator) -> None:
    """Clients tell it by these words: SageMaker's code is not that of other jobs."""
    client = emulator.sagemaker
    for call, message in (
        (client.describe_transform_job, "Could not find requested job with name: nowhere"),
        (client.stop_transform_job, "Could not find job to update with name: nowhere"),
    ):
        assert refused(call, TransformJobName="nowhere") == ("ValidationException", message)
