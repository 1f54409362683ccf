"""The whole job by `kennel` alone, on the emulator: photos, tuning, training, serving.

Nothing here is told that it is an emulator; AWS_ENDPOINT_URL is all the difference.
"""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import boto3  # type: ignore[import-untyped]
import pytest

from tests.scripts.conftest import pointed_at
from tests.scripts.kennel import kennel

SPEC = str(Path(__file__).parents[2] / "experiments" / "digits.toml")
_CHANGES = {"image_size": 16, "epochs": 1, "warmup_epochs": 0.0, "workers": 0}
SMALL = [
    part for key, value in _CHANGES.items() for part in ("--set", f"hyperparameters.{key}={value}")
]
GRID = [*SMALL, "--set", "tuning.ranges={learning_rate=[0.000001, 0.003]}"]


@pytest.fixture(scope="module")
def tuned(emulator_address: str, few_digits: Path) -> dict[str, Any]:
    """A finished tuning job over uploaded digits: what `best --json` says of it."""
    with pytest.MonkeyPatch.context() as patch:
        pointed_at(patch, emulator_address)
        boto3.client("s3").create_bucket(Bucket="kennel-digits")
        uploaded = kennel("data", "upload", str(few_digits), "s3://kennel-digits/data")
        assert uploaded.code == 0, uploaded.err
        done = kennel("tune", SPEC, *GRID)
        assert done.code == 0, done.err
        name = done.out.splitlines()[0]
        assert done.err.startswith("2 training jobs, 1 x ml.m5.large")
        assert f"{name}: completed" in done.err
        assert "learning_rate = " in done.out
        answer: dict[str, Any] = json.loads(kennel("best", name, "--json").out)
        return answer


def test_best_is_the_trial_with_the_greatest_value(tuned: dict[str, Any], emulator: str) -> None:
    values = [trial["value"] for trial in tuned["trials"]]
    assert [trial["status"] for trial in tuned["trials"]] == ["Completed", "Completed"]
    assert values == sorted(values, reverse=True)
    assert {trial["hyperparameters"]["learning_rate"] for trial in tuned["trials"]} == {1e-6, 0.003}
    assert tuned["best"]["job"] == tuned["trials"][0]["job"]
    assert tuned["best"]["hyperparameters"] == tuned["trials"][0]["hyperparameters"]
    shown = kennel("best", tuned["tuning_job"])
    assert shown.out.splitlines()[0].split()[:2] == ["validation:accuracy", "learning_rate"]
    assert shown.out.splitlines()[1].startswith("best")


def test_a_finished_trial_can_be_looked_at(tuned: dict[str, Any], emulator: str) -> None:
    job = tuned["best"]["job"]
    listed = kennel("jobs")
    assert tuned["tuning_job"] in listed.out
    assert job in listed.out
    status = kennel("status", job)
    assert status.out.startswith(f"{job}: Completed")
    assert f"validation:accuracy: {tuned['trials'][0]['value']:.4g}" in status.out
    assert "billed: " in status.err
    assert "bundle: s3://kennel-digits/jobs/" in status.err
    assert "[metric] validation:accuracy=" in kennel("logs", job).out
    assert "already ended" in kennel("stop", job).err
    assert "2 Completed" in kennel("status", tuned["tuning_job"]).out


def test_training_goes_on_from_what_tuning_found_and_can_be_stopped(
    tuned: dict[str, Any], emulator: str
) -> None:
    long = ("--set", "hyperparameters.epochs=500")
    found = tuned["tuning_job"]
    started = kennel("train", SPEC, *SMALL, *long, "--from-tuning", found, "--detach")
    job = started.out.strip()
    assert f"kennel stop {job}" in started.err
    sent = boto3.client("sagemaker").describe_training_job(TrainingJobName=job)["HyperParameters"]
    rate = tuned["best"]["hyperparameters"]["learning_rate"]
    assert float(sent["learning_rate"]) == rate
    assert sent["epochs"] == "500"
    assert "is stopping" in kennel("stop", job).err
    followed = kennel("logs", job, "--follow")
    assert followed.code == 0
    assert f"{job}: stopped" in followed.err


def test_ctrl_c_leaves_the_job_alone_and_says_how_to_come_back(
    tuned: dict[str, Any], emulator: str
) -> None:
    command = [sys.executable, "-m", "scripts.cli", "train", SPEC, *SMALL]
    command += ["--set", "hyperparameters.epochs=500"]
    watching = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=dict(os.environ),
        # A shell that started the tests in the background made them, and this, deaf to Ctrl-C.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    assert watching.stdout
    assert watching.stderr
    job = watching.stdout.readline().strip()
    while "Starting" not in watching.stderr.readline():
        assert watching.poll() is None
    watching.send_signal(signal.SIGINT)
    _, err = watching.communicate(timeout=60)
    assert watching.returncode == 130
    assert f"kennel logs {job} --follow" in err
    about = boto3.client("sagemaker").describe_training_job(TrainingJobName=job)
    assert about["TrainingJobStatus"] == "InProgress"
    kennel("stop", job)


def test_a_failed_job_tells_its_reason_its_last_lines_and_a_hint(
    tuned: dict[str, Any], emulator: str
) -> None:
    s3 = boto3.client("s3")
    s3.put_object(Bucket="kennel-digits", Key="one/cat/1.png", Body=b"")
    failed = kennel("train", SPEC, *SMALL, "--set", "data={train='s3://kennel-digits/one'}")
    assert failed.code == 1
    assert "reason: AlgorithmError" in failed.err
    assert "DataError: one class only (cat)" in failed.err
    assert "lines of its log:" in failed.err
    assert "hint: check the photos before the next job: `kennel data check DIR`" in failed.err


def test_a_name_that_no_job_has(emulator: str) -> None:
    done = kennel("status", "no-such-job")
    assert done.code == 1
    assert "no job is called no-such-job in us-east-1: `kennel jobs` lists them" in done.err


def test_the_best_is_served_asked_replaced_and_taken_down(
    tuned: dict[str, Any], emulator: str, few_digits: Path, tmp_path: Path
) -> None:
    deployed = kennel("deploy", SPEC, "--job", tuned["tuning_job"])
    assert deployed.code == 0, deployed.err
    assert deployed.out == "digits\n"
    assert "$0.12 an hour until `kennel down`" in deployed.err

    photo = next((few_digits / "test").rglob("*.png"))
    asked = kennel("predict", "digits", str(photo), "--json")
    answer = json.loads(asked.out)[str(photo)]
    assert abs(sum(answer["probabilities"]) - 1) < 1e-4
    assert len(answer["labels"]) == 10
    assert answer["predicted_label"] in kennel("predict", "digits", str(photo), "--top", "1").out

    text = tmp_path / "letter.jpg"
    text.write_text("no picture")
    refused = kennel("predict", "digits", str(text))
    assert refused.code == 1
    assert "letter.jpg: 400 these 10 bytes are not a picture" in refused.err
    assert "send one of: image/jpeg" in refused.err

    models = boto3.client("sagemaker").list_models()["Models"]
    again = kennel("deploy", SPEC, "--job", tuned["best"]["job"])
    assert "goes on answering while it changes over" in again.err
    replaced = boto3.client("sagemaker").list_models()["Models"]
    assert len(replaced) == len(models) == 1
    assert replaced[0]["ModelName"] != models[0]["ModelName"]

    (line,) = kennel("endpoints").out.splitlines()[1:]
    assert line.split()[:7] == ["digits", "InService", "digits", "1", "x", "ml.m5.large", "$0.12"]
    assert "ready on port 8080" in kennel("logs", "digits", "--endpoint").out

    assert kennel("down", "--all", "--yes", "--older-than", "2h").err == "no such endpoint\n"
    assert kennel("down", "--all", "--yes", "--expired").err == "no such endpoint\n"
    assert "deleted endpoint digits" in kennel("down", "--all", "--yes").err
    sagemaker = boto3.client("sagemaker")
    assert sagemaker.list_endpoints()["Endpoints"] == []
    assert sagemaker.list_endpoint_configs()["EndpointConfigs"] == []
    assert sagemaker.list_models()["Models"] == []


def test_an_endpoint_that_fails_leaves_nothing_behind(tuned: dict[str, Any], emulator: str) -> None:
    boto3.client("s3").put_object(Bucket="kennel-digits", Key="bad.tar.gz", Body=b"no archive")
    failed = kennel("deploy", SPEC, "--name", "bad", "--model", "s3://kennel-digits/bad.tar.gz")
    assert failed.code == 1
    assert "reason: " in failed.err
    assert "rolled back: DeleteEndpoint bad" in failed.err
    sagemaker = boto3.client("sagemaker")
    assert sagemaker.list_endpoints()["Endpoints"] == []
    assert sagemaker.list_endpoint_configs()["EndpointConfigs"] == []
    assert sagemaker.list_models()["Models"] == []


def test_images_are_registered_and_jobs_find_them_by_alias(emulator: str) -> None:
    done = kennel("register", SPEC, "--alias", "stable", "--processor", "CPU")
    assert done.code == 0, done.err
    train, serve = done.out.splitlines()
    assert train.startswith("kennel-train version 1: ")
    assert train.endswith("kennel-train@stable")
    assert serve.startswith("kennel-serve version 1: ")
    again = kennel("register", SPEC, "--alias", "stable", "--processor", "CPU")
    assert again.out == done.out
    version = boto3.client("sagemaker").describe_image_version(ImageName="kennel-serve", Version=1)
    assert version["JobType"] == "INFERENCE"
    assert version["MLFramework"].startswith("PyTorch 2.")

    alias = ["--set", "images.train=kennel-train@stable", "--detach"]
    job = kennel("train", SPEC, *SMALL, *alias).out.strip()
    about = boto3.client("sagemaker").describe_training_job(TrainingJobName=job)
    assert about["AlgorithmSpecification"]["TrainingImage"] == version["ContainerImage"].replace(
        "kennel-serve", "kennel-train"
    )
    kennel("stop", job)


def test_batch_transform_answers_every_picture(
    tuned: dict[str, Any], emulator: str, few_digits: Path
) -> None:
    batch = (
        "endpoint={kind='transform', instance_type='ml.m5.large', "
        "input='s3://kennel-digits/data/test', output='s3://kennel-digits/answers'}"
    )
    done = kennel("deploy", SPEC, "--job", tuned["tuning_job"], "--set", batch)
    assert done.code == 0, done.err
    assert done.out == "s3://kennel-digits/answers\n"
    s3 = boto3.client("s3")
    listed = s3.list_objects_v2(Bucket="kennel-digits", Prefix="answers/")["Contents"]
    assert len(listed) == len(list((few_digits / "test").rglob("*.png")))
    body = s3.get_object(Bucket="kennel-digits", Key=listed[0]["Key"])["Body"].read()
    assert len(json.loads(body)["labels"]) == 10
    assert boto3.client("sagemaker").list_models()["Models"] == []
