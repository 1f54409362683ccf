"""The examples run against the emulator, by their command lines."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import boto3  # type: ignore[import-untyped]
import pytest

from tests.scripts.conftest import TRUST
from tests.scripts.sdk import CLIENTS, interpreter

EXAMPLES = Path(__file__).parents[2] / "examples"
REGISTRY = "123456789012.dkr.ecr.us-east-1.amazonaws.com"
SMALL = {
    "architecture": "squeezenet1_1",
    "weights": "none",
    "trainable": "all",
    "image_size": 32,
    "epochs": 1,
    "workers": 0,
    "export": "none",
    "debugger": False,
    "profiler": False,
}

pytestmark = pytest.mark.slow


def upload(folder: Path, bucket: str) -> None:
    s3 = boto3.client("s3")
    s3.create_bucket(Bucket=bucket)
    for file in folder.rglob("*.png"):
        s3.upload_file(str(file), bucket, f"photos/{file.relative_to(folder).as_posix()}")


SCRIPTS = {"boto3_job": None, "sdk_job": "sdk.txt", "sdk2_job": "sdk2.txt"}


@pytest.mark.parametrize("script", SCRIPTS)
def test_an_example_tunes_deploys_predicts_and_cleans_up(
    script: str, emulator: str, few_digits: Path
) -> None:
    lock = SCRIPTS[script]
    python = interpreter(lock) if lock else sys.executable
    iam = boto3.client("iam")
    # Version 3 checks that the role trusts SageMaker.
    role = iam.create_role(RoleName=script, AssumeRolePolicyDocument=json.dumps(TRUST))["Role"]
    bucket = f"{script.replace('_', '-')}-digits"
    upload(few_digits, bucket)
    photo = next((few_digits / "test").rglob("*.png"))
    done = subprocess.run(
        [
            *(python, str(EXAMPLES / f"{script}.py"), str(photo)),
            *("--role", role["Arn"]),
            *("--data", f"s3://{bucket}/photos", "--output", f"s3://{bucket}/jobs"),
            *("--train-image", f"{REGISTRY}/kennel-train:1"),
            *("--serve-image", f"{REGISTRY}/kennel-serve:1"),
            *("--learning-rates", "0.01", "--hyperparameters", json.dumps(SMALL)),
        ],
        env=os.environ | {"PYTHONPATH": str(CLIENTS), "SAGEMAKER_SUPPRESS_V2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    prefix = script.partition("_")[0]
    # Version 2 prints dashes while it waits, and no newline.
    assert re.search(rf"^-*!?best: {prefix}-", done.stdout, re.MULTILINE)
    assert re.search(r"^-*!?answer: \d$", done.stdout, re.MULTILINE)
    sagemaker = boto3.client("sagemaker")
    tuned = sagemaker.list_hyper_parameter_tuning_jobs(NameContains=f"{prefix}-")
    (job,) = tuned["HyperParameterTuningJobSummaries"]
    assert job["TrainingJobStatusCounters"]["Completed"] == 1
    for listed, key in (
        (sagemaker.list_endpoints(), "Endpoints"),
        (sagemaker.list_endpoint_configs(), "EndpointConfigs"),
        (sagemaker.list_models(), "Models"),
    ):
        names = [one[f"{key.removesuffix('s')}Name"] for one in listed[key]]
        assert not any(name.startswith(f"{prefix}-") for name in names)
