"""A whole job with `kennel` alone, on the emulator: photos, tuning, training, serving.

No verb knows that it is an emulator: only AWS_ENDPOINT_URL differs.
"""

import json
from pathlib import Path

import boto3  # type: ignore[import-untyped]

from tests.scripts.digits_job import BUCKET, SMALL, SPEC, changes
from tests.scripts.kennel import kennel


def test_tune_train_deploy_predict(emulator: str, few_digits: Path) -> None:
    boto3.client("s3").create_bucket(Bucket=BUCKET)
    assert kennel("data", "upload", str(few_digits), f"s3://{BUCKET}/data").code == 0

    ranges = changes({"tuning.ranges": "{learning_rate=[0.002]}", "tuning.parallel": "1"})
    tuned = kennel("tune", SPEC, *SMALL, *ranges)
    assert tuned.code == 0, tuned.err
    tuning_job = tuned.out.splitlines()[0]
    assert "learning_rate = 0.002" in kennel("best", tuning_job).out

    trained = kennel("train", SPEC, *SMALL, "--from-tuning", tuning_job)
    assert trained.code == 0, trained.err
    job = trained.out.splitlines()[0]
    assert "bundle: s3://kennel-digits/jobs/" in trained.err
    status = kennel("status", job)
    assert status.out.startswith(f"{job}: Completed")
    assert "test:accuracy: " in status.out

    deployed = kennel("deploy", SPEC, "--job", job)
    assert deployed.code == 0, deployed.err
    photo = next((few_digits / "test").rglob("*.png"))
    answer = json.loads(kennel("predict", "digits", str(photo), "--json").out)[str(photo)]
    assert len(answer["labels"]) == 10
    assert abs(sum(answer["probabilities"]) - 1) < 1e-4
    assert "deleted endpoint digits" in kennel("down", "digits").err
    assert boto3.client("sagemaker").list_models()["Models"] == []
