"""Spot training jobs, and jobs with AWS's own rules, on the emulator."""

import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3  # type: ignore[import-untyped]
import pytest

from scripts.aws.client import Aws
from scripts.aws.logs import TRAINING, Log
from scripts.requests import jobs
from tests.scripts.conftest import REGION, run_emulator, use_endpoint
from tests.scripts.digits_job import SMALL, SPEC, changes
from tests.scripts.kennel import kennel

pytestmark = pytest.mark.slow
MANAGED = ["--set", "debugger={managed_rules=['LossNotDecreasing', 'ProfilerReport']}"]


def described(job: str) -> dict[str, Any]:
    found: dict[str, Any] = boto3.client("sagemaker").describe_training_job(TrainingJobName=job)
    return found


def metrics(job: str) -> dict[str, float]:
    """A job's final metrics, except its speed."""
    final = described(job)["FinalMetricDataList"]
    values = {one["MetricName"]: one["Value"] for one in final}
    values.pop("train:images_per_second")
    return values


def test_an_interrupted_spot_job_ends_with_the_same_metrics(
    tuned: dict[str, Any], emulator: str
) -> None:
    longer = [*SMALL, *changes({"hyperparameters.epochs": 10})]
    uninterrupted = kennel("train", SPEC, *longer)
    assert uninterrupted.code == 0, uninterrupted.err

    spot = "training={instance_type='ml.m5.large', max_run_seconds=1800, spot=true, "
    spot += "max_wait_seconds=3600, checkpoints='s3://kennel-digits/checkpoints'}"
    job = kennel("train", SPEC, *longer, "--set", spot, "--detach").out.strip()
    # One client for all polls: the nine epochs left are short.
    aws = Aws(REGION)
    log = Log(aws, TRAINING, f"{job}/")
    while not any("[metric] validation:accuracy=" in line.text for line in log.new_lines()):
        assert aws.send(jobs.describe(jobs.TRAINING, job))["TrainingJobStatus"] == "InProgress"
        time.sleep(0.02)
    interrupt = urllib.request.Request(f"{emulator}/_emulator/interrupt/{job}", method="POST")
    scope = "test/20260101/us-east-1/sagemaker/aws4_request"  # the access key of use_endpoint
    interrupt.add_header("Authorization", f"AWS4-HMAC-SHA256 Credential={scope}")
    urllib.request.urlopen(interrupt).close()
    followed = kennel("logs", job, "--follow")
    assert f"{job}: completed" in followed.err
    assert "Interrupted: Spot capacity was reclaimed" in followed.err
    statuses = [one["Status"] for one in described(job)["SecondaryStatusTransitions"]]
    assert statuses.count("Interrupted") == 1
    assert statuses.count("Training") == 2
    assert metrics(job) == metrics(uninterrupted.out.splitlines()[0])


def test_training_jobs_have_awss_rules_and_tuning_jobs_do_not(
    tuned: dict[str, Any], emulator: str
) -> None:
    trained = kennel("train", SPEC, *SMALL, *MANAGED)
    assert trained.code == 0, trained.err
    job = trained.out.splitlines()[0]
    about = described(job)
    assert about["DebugHookConfig"]["S3OutputPath"] == "s3://kennel-digits/jobs"
    assert [one["RuleConfigurationName"] for one in about["DebugRuleConfigurations"]] == [
        "LossNotDecreasing"
    ]
    assert about["ProfilerConfig"]["ProfilingIntervalInMilliseconds"] == 500
    # The files that AWS's rules would read.
    listed = boto3.client("s3").list_objects_v2(Bucket="kennel-digits", Prefix=f"jobs/{job}/")
    keys = [one["Key"].removeprefix(f"jobs/{job}/") for one in listed["Contents"]]
    assert any(key.startswith("debug-output/events/") for key in keys), keys
    tuning = kennel("tune", SPEC, *SMALL, *MANAGED, "--dry-run")
    assert tuning.code == 0
    assert "tuning jobs cannot have them" in tuning.err


@pytest.fixture
def without_debugger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    config = tmp_path / "emulator.toml"
    config.write_text("debugger = false\n")
    with run_emulator(tmp_path / "state", "--config", str(config)) as address:
        use_endpoint(monkeypatch, address)
        s3 = boto3.client("s3")
        s3.create_bucket(Bucket="kennel-digits")
        for name in ("train", "valid", "test"):  # a job without data is refused
            s3.put_object(Bucket="kennel-digits", Key=f"data/{name}/0/1.png", Body=b"")
        yield


def test_a_job_starts_without_awss_rules_if_aws_refuses_them(without_debugger: None) -> None:
    started = kennel("train", SPEC, *SMALL, *MANAGED, "--detach", "--no-check")
    assert started.code == 0, started.err
    assert "started without AWS's managed rules" in started.err
    assert "SageMaker Debugger is not available to this account" in started.err
    assert "DebugHookConfig" not in described(started.out.strip())
    wrong = kennel("train", SPEC, *MANAGED, "--detach", "--name", "x" * 64)
    assert wrong.code == 1
    assert "at most 63 letters, digits and hyphens" in wrong.err
