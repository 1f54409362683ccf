"""The examples, as their readers run them: by their command lines, against the emulator."""

import json
import os
import subprocess
import sys
from pathlib import Path

import boto3  # type: ignore[import-untyped]
import pytest

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


def interpreter(script: str) -> str:
    """The SDK wants an environment of its own, 730 MB of it: KENNEL_SDK_PYTHON names its Python."""
    if script == "boto3_job":
        return sys.executable
    found = os.environ.get("KENNEL_SDK_PYTHON")
    if not found:
        pytest.skip("needs KENNEL_SDK_PYTHON, the Python of an environment with sagemaker>=3")
    return found


@pytest.mark.parametrize("script", ["boto3_job", "sdk_job"])
def test_an_example_tunes_serves_asks_and_leaves_nothing_behind(
    script: str, emulator: str, few_digits: Path
) -> None:
    bucket = f"{script.replace('_', '-')}-digits"
    upload(few_digits, bucket)
    photo = next((few_digits / "test").rglob("*.png"))
    done = subprocess.run(
        [
            *(interpreter(script), str(EXAMPLES / f"{script}.py"), str(photo)),
            *("--role", "arn:aws:iam::123456789012:role/kennel"),
            *("--data", f"s3://{bucket}/photos", "--output", f"s3://{bucket}/jobs"),
            *("--train-image", f"{REGISTRY}/kennel-train:1"),
            *("--serve-image", f"{REGISTRY}/kennel-serve:1"),
            *("--hyperparameters", json.dumps(SMALL)),
        ],
        # The SDK asks IAM to simulate the role's policies, which moto cannot.
        env=os.environ | {"SAGEMAKER_VALIDATE_ROLE": "false", "PYTHONPATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    prefix = script.partition("_")[0]
    said = [line for line in done.stdout.splitlines() if line.startswith(("best: ", "answer: "))]
    assert said[0].startswith(f"best: {prefix}-")
    assert said[1].removeprefix("answer: ") in list("0123456789")
    sagemaker = boto3.client("sagemaker")
    tuned = sagemaker.list_hyper_parameter_tuning_jobs(NameContains=f"{prefix}-")
    (job,) = tuned["HyperParameterTuningJobSummaries"]
    assert job["TrainingJobStatusCounters"]["Completed"] == 2
    for listed, key in (
        (sagemaker.list_endpoints(), "Endpoints"),
        (sagemaker.list_endpoint_configs(), "EndpointConfigs"),
        (sagemaker.list_models(), "Models"),
    ):
        names = [one[f"{key.removesuffix('s')}Name"] for one in listed[key]]
        assert not any(name.startswith(f"{prefix}-") for name in names)
