"""The emulator ends, in the good way and the bad one, and comes back on the same folder."""

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import boto3.s3.transfer  # type: ignore[import-untyped, unused-ignore]
import pytest

from tests.emulator.conftest import BUCKET, IMAGES, Running, alive, fill
from tests.emulator.test_hosting import ask, deploy, in_service
from tests.emulator.test_training import lines_of, training
from tests.emulator.test_tuning import ended, ranges, request, trials


@pytest.fixture
def emulator(tmp_path: Path) -> Iterator[Running]:
    running = Running(tmp_path / "state", IMAGES).start()
    fill(running)
    yield running
    running.end()


def test_objects_survive_with_their_metadata(emulator: Running, tmp_path: Path) -> None:
    large = tmp_path / "large"
    large.write_bytes(b"0123456789abcdef" * 2**16 * 10)  # 10 MiB: sent in parts
    emulator.s3.upload_file(
        str(large),
        BUCKET,
        "large",
        ExtraArgs={"ContentType": "image/x", "Metadata": {"split": "train"}},
        Config=boto3.s3.transfer.TransferConfig(multipart_threshold=5 * 2**20),
    )
    emulator.s3.put_object(Bucket=BUCKET, Key="changed", Body=b"old")
    emulator.s3.put_object(Bucket=BUCKET, Key="changed", Body=b"new")
    emulator.s3.copy_object(Bucket=BUCKET, Key="a copy/ü", CopySource=f"{BUCKET}/changed")
    for key in ("gone", "gone too"):
        emulator.s3.put_object(Bucket=BUCKET, Key=key, Body=b"x")
    emulator.s3.delete_object(Bucket=BUCKET, Key="gone")
    emulator.s3.delete_objects(Bucket=BUCKET, Delete={"Objects": [{"Key": "gone too"}]})
    before = emulator.s3.head_object(Bucket=BUCKET, Key="large")
    listed = emulator.keys()
    emulator.end(signal.SIGKILL)
    emulator.start()
    assert emulator.keys() == listed
    assert "gone" not in " ".join(listed)
    after = emulator.s3.head_object(Bucket=BUCKET, Key="large")
    for member in ("ETag", "ContentLength", "ContentType", "LastModified", "Metadata"):
        assert after[member] == before[member]
    assert emulator.body("large") == large.read_bytes()
    assert emulator.body("changed") == emulator.body("a copy/ü") == b"new"


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_job_that_was_running_has_failed_and_nothing_is_left_of_it(
    emulator: Running, number: int
) -> None:
    emulator.train("before")
    emulator.ended("before")
    emulator.train(
        "during",
        HyperParameters={"spawn": "1", "steps": "3", "sleep_at": "2"},
        CheckpointConfig={"S3Uri": f"s3://{BUCKET}/kept"},
    )
    training(emulator, "during", "step 2")
    emulator.until(lambda: emulator.keys("kept"))
    text = "\n".join(lines_of(emulator, "during"))
    pids = [int(found) for found in re.findall(r"(?:pid|child) (\d+)", text)]
    assert len(pids) == 2
    assert all(alive(pid) for pid in pids)
    emulator.end(number)
    emulator.until(lambda: not any(alive(pid) for pid in pids))
    emulator.start()
    job = emulator.job("during")
    assert job["TrainingJobStatus"] == job["SecondaryStatus"] == "Failed"
    assert job["FailureReason"].startswith("InternalServerError")
    assert emulator.body("kept/step.txt") == b"2"
    assert emulator.job("before")["TrainingJobStatus"] == "Completed"
    assert emulator.body("out/before/output/model.tar.gz")
    assert lines_of(emulator, "before")[-1] == "loss=0.25; done"
    emulator.train("after")
    assert emulator.ended("after")["TrainingJobStatus"] == "Completed"


def test_a_tuning_job_that_was_running_has_failed_and_its_ended_trials_are_kept(
    emulator: Running,
) -> None:
    # One at a time: the first ends at once, the second would train for ten minutes.
    said = request("tuned", "Grid", ranges(sleep=["0", "600"]), MaxParallelTrainingJobs=1)
    said["TrainingJobDefinition"]["StaticHyperParameters"] = {"x": "0.5"}
    emulator.sagemaker.create_hyper_parameter_tuning_job(**said)
    emulator.until(lambda: len(trials(emulator, "tuned")) == 2)
    first, second = (one["TrainingJobName"] for one in trials(emulator, "tuned"))
    training(emulator, second, "pid")
    (pid,) = re.findall(r"pid (\d+)", "\n".join(lines_of(emulator, second)))
    emulator.end(signal.SIGKILL)
    emulator.until(lambda: not alive(int(pid)))
    emulator.start()
    job = ended(emulator, "tuned")
    assert job["HyperParameterTuningJobStatus"] == "Failed"
    assert job["FailureReason"].startswith("InternalServerError")
    statuses = {
        one["TrainingJobName"]: one["TrainingJobStatus"] for one in trials(emulator, "tuned")
    }
    assert statuses == {first: "Completed", second: "Failed"}
    assert job["BestTrainingJob"]["TrainingJobName"] == first
    assert job["BestTrainingJob"]["FinalHyperParameterTuningJobObjectiveMetric"]["Value"] == 0.5
    assert emulator.body(f"tuned/{first}/output/model.tar.gz")
    emulator.sagemaker.create_hyper_parameter_tuning_job(
        **request("again", "Grid", ranges(x=["0.2"]))
    )
    assert ended(emulator, "again")["HyperParameterTuningJobStatus"] == "Completed"


def test_registries_survive(emulator: Running) -> None:
    emulator.client("ecr").create_repository(
        repositoryName="kennel", imageTagMutability="IMMUTABLE"
    )
    emulator.client("iam").create_role(RoleName="kennel", AssumeRolePolicyDocument="{}")
    emulator.client("iam").create_role(RoleName="gone", AssumeRolePolicyDocument="{}")
    emulator.client("iam").delete_role(RoleName="gone")
    emulator.sagemaker.create_model_package_group(ModelPackageGroupName="dogs")
    emulator.end(signal.SIGKILL)
    emulator.start()
    (repository,) = emulator.client("ecr").describe_repositories()["repositories"]
    assert repository["imageTagMutability"] == "IMMUTABLE"
    roles = emulator.client("iam").list_roles()["Roles"]
    assert [role["RoleName"] for role in roles] == ["kennel"]
    groups = emulator.sagemaker.list_model_package_groups()["ModelPackageGroupSummaryList"]
    assert [group["ModelPackageGroupName"] for group in groups] == ["dogs"]


def test_an_endpoint_comes_back_into_service(emulator: Running) -> None:
    deploy(emulator, "lasting")
    pid = ask(emulator, "lasting")["pid"]
    emulator.end(signal.SIGKILL)
    emulator.until(lambda: not alive(pid))
    emulator.start()
    in_service(emulator, "lasting")
    assert ask(emulator, "lasting")["model"] == {"name.txt": "tarred"}


def verb(*words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "emulator", *words], capture_output=True, text=True
    )


def test_start_status_stop(tmp_path: Path) -> None:
    state = ("--state", str(tmp_path / "s"))
    assert verb("status", *state).returncode == 3
    started = verb("start", *state)
    assert started.returncode == 0, started.stderr
    try:
        assert re.search(r"^export AWS_ENDPOINT_URL=http://127\.0\.0\.1:\d+$", started.stdout, re.M)
        assert "export AWS_ACCESS_KEY_ID=emulator" in started.stdout
        assert re.match(r"# engine: (process|docker for the images that it has)", started.stdout)
        assert verb("status", *state).stdout == started.stdout
        assert verb("start", *state).stdout == started.stdout  # one alone
        second = verb("run", *state)
        assert second.returncode == 1
        assert "already runs" in second.stderr
    finally:
        stopped = verb("stop", *state)
    assert stopped.stdout == "stopped\n"
    assert verb("stop", *state).stdout == "not running\n"


def test_without_a_docker_engine_jobs_run_as_processes_and_the_start_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER", "no-such-client")
    state = ("--state", str(tmp_path / "s"))
    refused = verb("run", *state, "--engine", "docker")
    assert refused.returncode == 1
    assert "no docker client on this machine" in refused.stderr
    started = verb("start", *state)
    verb("stop", *state)
    assert started.stdout.startswith("# engine: process (auto: no Docker engine answers)")


def test_settings_that_cannot_be_used(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text("colour = 'blue'\n[limits]\ninvocation_s = 'long'\n")
    done = verb("run", "--state", str(tmp_path), "--config", str(file))
    assert done.returncode == 2
    assert "colour" in done.stderr
    assert "limits.invocation_s" in done.stderr
