"""The examples, as their readers run them: by their command lines, against the emulator."""

import json
import os
import subprocess
import sys
from pathlib import Path

import boto3  # type: ignore[import-untyped]

EXAMPLES = Path(__file__).parents[2] / "examples"
REGISTRY = "123456789012.dkr.ecr.us-east-1.amazonaws.com"
SMALL = {
    "architecture": "squeezenet1_1",
    "weights": "none",
    "trainable": "all",
    "image_size": 32,
    "epochs": 1,
    "workers": 0,
}


def upload(folder: Path, bucket: str) -> None:
    s3 = boto3.client("s3")
    s3.create_bucket(Bucket=bucket)
    for file in folder.rglob("*.png"):
        s3.upload_file(str(file), bucket, f"photos/{file.relative_to(folder).as_posix()}")


def test_plain_boto3_tunes_serves_and_leaves_nothing_behind(
    emulator: str, few_digits: Path
) -> None:
    upload(few_digits, "boto3-digits")
    photo = next((few_digits / "test").rglob("*.png"))
    done = subprocess.run(
        [
            *(sys.executable, str(EXAMPLES / "boto3_job.py"), str(photo)),
            *("--role", "arn:aws:iam::123456789012:role/kennel"),
            *("--data", "s3://boto3-digits/photos", "--output", "s3://boto3-digits/jobs"),
            *("--train-image", f"{REGISTRY}/kennel-train:1"),
            *("--serve-image", f"{REGISTRY}/kennel-serve:1"),
            *("--hyperparameters", json.dumps(SMALL)),
        ],
        env=dict(os.environ),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    best, answer = done.stdout.splitlines()
    assert best.startswith("best: boto3-")
    assert answer.removeprefix("answer: ") in "0123456789"
    sagemaker = boto3.client("sagemaker")
    tuned = sagemaker.list_hyper_parameter_tuning_jobs(NameContains="boto3-")
    (job,) = tuned["HyperParameterTuningJobSummaries"]
    assert job["TrainingJobStatusCounters"]["Completed"] == 4
    names = [one["EndpointName"] for one in sagemaker.list_endpoints()["Endpoints"]]
    assert not any(name.startswith("boto3-") for name in names)
