"""`strategy = "sweep"`: one training job trains a whole grid."""

import json
from pathlib import Path

import boto3  # type: ignore[import-untyped]
import pytest

from tests.scripts.digits_job import changes
from tests.scripts.kennel import kennel
from tests.train import head_jobs

DOGS = str(Path(__file__).parents[2] / "experiments" / "dogs.toml")
DIGITS = str(Path(__file__).parents[2] / "experiments" / "digits.toml")
SWEEP = ["--set", "tuning.strategy=sweep", "--set", "tuning.parallel=1"]


def test_tune_suggests_a_sweep_for_a_frozen_backbone() -> None:
    assert "trains all 18 trials in 1 job" in kennel("tune", DOGS, "--dry-run").err
    all_trained = kennel("tune", DOGS, "--dry-run", "--set", "hyperparameters.trainable=all")
    assert "sweep" not in all_trained.err


def test_a_sweep_is_one_training_job() -> None:
    done = kennel("tune", DOGS, "--dry-run", *SWEEP)
    assert done.code == 0, done.err
    assert done.err.startswith("1 training job, 1 x ml.g5.xlarge")
    (request,) = json.loads(done.out)
    assert request["operation"] == "CreateTrainingJob"
    sweep = json.loads(json.loads(request["parameters"]["HyperParameters"]["sweep"]))
    assert sweep["learning_rate"] == [0.001, 0.01, 0.1]


@pytest.mark.slow
def test_the_table_and_the_best_trial_come_from_the_log(
    emulator: str, few_digits: Path, tmp_path: Path
) -> None:
    s3 = boto3.client("s3")
    s3.create_bucket(Bucket="kennel-digits")
    assert kennel("data", "upload", str(few_digits), "s3://kennel-digits/swept").code == 0
    s3.upload_file(str(head_jobs.backbone(tmp_path)), "kennel-digits", "weights/resnet18.pth")
    channels = {name: f"s3://kennel-digits/swept/{name}" for name in ("train", "valid", "test")}
    channels["pretrained"] = "s3://kennel-digits/weights"
    ranges = "{learning_rate=[0.000001, 0.05], batch_size=[16, 32], epochs=[1, 2]}"
    settings: dict[str, object] = {
        "data": "{" + ", ".join(f"{k}='{v}'" for k, v in channels.items()) + "}",
        "tuning.ranges": ranges,
        "hyperparameters.weights": "pretrained",
        "hyperparameters.trainable": "head",
        "hyperparameters.warmup_epochs": 0.0,
        "hyperparameters.workers": 0,
        "hyperparameters.export": "none",
        "debugger.enabled": "false",
        "profiler.enabled": "false",
    }
    done = kennel("tune", DIGITS, *SWEEP, *changes(settings))
    assert done.code == 0, done.err
    job = done.out.splitlines()[0]
    found = json.loads(kennel("best", job, "--json").out)
    assert len(found["trials"]) == 8
    values = [trial["validation:accuracy"] for trial in found["trials"]]
    assert values == sorted(values, reverse=True)
    assert found["best"]["hyperparameters"]["learning_rate"] == 0.05
    table = kennel("best", job)
    assert table.out.splitlines()[1].startswith("best")
    assert "learning_rate = 0.05" in table.out
    assert f"kennel deploy SPEC --job {job}" in table.err
    about = boto3.client("sagemaker").describe_training_job(TrainingJobName=job)
    final = {one["MetricName"]: one["Value"] for one in about["FinalMetricDataList"]}
    assert final["validation:accuracy"] == pytest.approx(values[0], rel=1e-6)  # the winner's
