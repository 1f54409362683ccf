"""Jobs on the emulator: started, followed, stopped, failed and listed by `kennel`."""

import os
import signal
import subprocess
import sys
from typing import Any

import boto3  # type: ignore[import-untyped]
import pytest

from scripts.console import snippets
from tests.scripts.digits_job import SMALL, SPEC, changes
from tests.scripts.kennel import kennel
from tests.scripts.sdk import interpreter

pytestmark = pytest.mark.slow


def test_best_is_the_trial_with_the_highest_value(tuned: dict[str, Any], emulator: str) -> None:
    values = [trial["value"] for trial in tuned["trials"]]
    assert [trial["status"] for trial in tuned["trials"]] == ["Completed", "Completed"]
    assert values == sorted(values, reverse=True)
    assert {trial["hyperparameters"]["learning_rate"] for trial in tuned["trials"]} == {1e-6, 0.003}
    assert tuned["best"]["job"] == tuned["trials"][0]["job"]
    assert tuned["best"]["hyperparameters"] == tuned["trials"][0]["hyperparameters"]
    printed = kennel("best", tuned["tuning_job"])
    assert printed.out.splitlines()[0].split()[:2] == ["validation:accuracy", "learning_rate"]
    assert printed.out.splitlines()[1].startswith("best")


def test_a_finished_trial_is_listed_and_described(tuned: dict[str, Any], emulator: str) -> None:
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


def test_the_snippets_run_with_the_sdk(tuned: dict[str, Any], emulator: str) -> None:
    job, tuning = tuned["best"]["job"], tuned["tuning_job"]
    imports = snippets.endpoint("digits").splitlines()[1]  # there is no endpoint
    code = [snippets.training_job(job), snippets.tuning_job(tuning), imports]
    python = interpreter("sdk.txt")
    done = subprocess.run(
        [python, "-c", "\n".join(code)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert f"Completed s3://kennel-digits/jobs/{job}/output/model.tar.gz" in done.stdout
    assert "'learning_rate': " in done.stdout


def test_ctrl_c_keeps_the_job_running_until_it_is_stopped(
    tuned: dict[str, Any], emulator: str
) -> None:
    command = [sys.executable, "-m", "scripts.cli", "train", SPEC, *SMALL]
    command += ["--from-tuning", tuned["tuning_job"]]
    command += changes({"hyperparameters.epochs": 500})
    watching = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=dict(os.environ),
        # Processes of a background shell ignore SIGINT, and so would this one.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    assert watching.stdout
    assert watching.stderr
    job = watching.stdout.readline().strip()
    while "Starting" not in watching.stderr.readline():
        assert watching.poll() is None
    watching.send_signal(signal.SIGINT)
    _, err = watching.communicate(timeout=600)
    assert watching.returncode == 130
    assert f"kennel logs {job} --follow" in err
    assert f"kennel stop {job}" in err
    about = boto3.client("sagemaker").describe_training_job(TrainingJobName=job)
    assert about["TrainingJobStatus"] == "InProgress"
    sent = about["HyperParameters"]
    assert float(sent["learning_rate"]) == tuned["best"]["hyperparameters"]["learning_rate"]
    assert sent["epochs"] == "500"

    assert "is stopping" in kennel("stop", job).err
    followed = kennel("logs", job, "--follow")
    assert followed.code == 0
    assert f"{job}: stopped" in followed.err


def test_a_failed_job_prints_its_reason_last_lines_and_a_hint(
    tuned: dict[str, Any], emulator: str
) -> None:
    s3 = boto3.client("s3")
    s3.put_object(Bucket="kennel-digits", Key="one/cat/1.png", Body=b"")
    failed = kennel("train", SPEC, *SMALL, "--set", "data={train='s3://kennel-digits/one'}")
    assert failed.code == 1
    assert "reason: AlgorithmError" in failed.err
    assert "DataError: one class only (cat)" in failed.err
    assert "lines of the log:" in failed.err
    assert "hint: check the photos before the next job: `kennel data check DIR`" in failed.err
    job = failed.out.splitlines()[0]
    refused = kennel("deploy", SPEC, "--job", job)
    assert f"{job} failed and has no bundle: AlgorithmError" in refused.err
    assert f"see `kennel logs {job}`" in refused.err
    again = kennel("train", SPEC, *SMALL, "--name", job)
    assert "a training job has this name: give another with --name" in again.err


def test_an_unknown_job_name(emulator: str) -> None:
    done = kennel("status", "no-such-job")
    assert done.code == 1
    assert "no job is called no-such-job in us-east-1: `kennel jobs` lists them" in done.err


def test_jobs_find_registered_images_by_alias(emulator: str) -> None:
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
    started = kennel("train", SPEC, *SMALL, *alias)
    job = started.out.strip()
    assert f"kennel stop {job}" in started.err
    about = boto3.client("sagemaker").describe_training_job(TrainingJobName=job)
    assert about["AlgorithmSpecification"]["TrainingImage"] == version["ContainerImage"].replace(
        "kennel-serve", "kennel-train"
    )
    kennel("stop", job)
