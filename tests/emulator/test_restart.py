"""The emulator is stopped or killed, and starts again on the same state folder."""

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import boto3.s3.transfer  # type: ignore[import-untyped, unused-ignore]
import pytest

from tests.emulator.client import BUCKET, IMAGES, Emulator, alive, with_photos
from tests.emulator.hosting import create_model, deploy, predict, wait_in_service
from tests.emulator.tuning import ranges, trials, tuning_ended, tuning_request

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    """One emulator for this file: every test restarts it."""
    with with_photos(Emulator(tmp_path_factory.mktemp("restart") / "state", IMAGES)) as emulator:
        yield emulator


def test_objects_survive_with_their_metadata(emulator: Emulator, tmp_path: Path) -> None:
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
    for key in ("deleted", "deleted too"):
        emulator.s3.put_object(Bucket=BUCKET, Key=key, Body=b"x")
    emulator.s3.delete_object(Bucket=BUCKET, Key="deleted")
    emulator.s3.delete_objects(Bucket=BUCKET, Delete={"Objects": [{"Key": "deleted too"}]})
    before = emulator.s3.head_object(Bucket=BUCKET, Key="large")
    listed = emulator.keys()
    emulator.end(signal.SIGKILL)
    emulator.start()
    assert emulator.keys() == listed
    assert "deleted" not in " ".join(listed)
    after = emulator.s3.head_object(Bucket=BUCKET, Key="large")
    for member in ("ETag", "ContentLength", "ContentType", "LastModified", "Metadata"):
        assert after[member] == before[member]
    assert emulator.body("large") == large.read_bytes()
    assert emulator.body("changed") == emulator.body("a copy/ü") == b"new"


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_running_job_fails_and_leaves_no_process(emulator: Emulator, number: int) -> None:
    before, during, after = (f"{name}-{number}" for name in ("before", "during", "after"))
    checkpoints = f"checkpoints/{number}"
    emulator.train(before)
    emulator.ended(before)
    emulator.train(
        during,
        HyperParameters={"spawn": "1", "steps": "3", "sleep_at": "2"},
        CheckpointConfig={"S3Uri": f"s3://{BUCKET}/{checkpoints}"},
    )
    emulator.wait_for_line(during, "step 2")
    emulator.wait_until(lambda: emulator.keys(checkpoints))
    text = "\n".join(emulator.lines(during))
    pids = [int(found) for found in re.findall(r"(?:pid|child) (\d+)", text)]
    assert len(pids) == 2
    assert all(alive(pid) for pid in pids)
    emulator.end(number)
    emulator.wait_until(lambda: not any(alive(pid) for pid in pids))
    emulator.start()
    job = emulator.job(during)
    assert job["TrainingJobStatus"] == job["SecondaryStatus"] == "Failed"
    assert job["FailureReason"].startswith("InternalServerError")
    assert emulator.body(f"{checkpoints}/step.txt") == b"2"
    assert emulator.job(before)["TrainingJobStatus"] == "Completed"
    assert emulator.body(f"out/{before}/output/model.tar.gz")
    assert emulator.lines(before)[-1] == "loss=0.25; done"
    emulator.train(after)
    assert emulator.ended(after)["TrainingJobStatus"] == "Completed"


def test_a_running_tuning_job_fails_and_keeps_its_completed_trials(
    emulator: Emulator,
) -> None:
    # One trial at a time: the first ends at once, the second sleeps for ten minutes.
    request = tuning_request("tuned", "Grid", ranges(sleep=["0", "600"]), MaxParallelTrainingJobs=1)
    request["TrainingJobDefinition"]["StaticHyperParameters"] = {"x": "0.5"}
    emulator.sagemaker.create_hyper_parameter_tuning_job(**request)
    emulator.wait_until(lambda: len(trials(emulator, "tuned")) == 2)
    first, second = (trial["TrainingJobName"] for trial in trials(emulator, "tuned"))
    emulator.wait_for_line(second, "pid")
    (pid,) = re.findall(r"pid (\d+)", "\n".join(emulator.lines(second)))
    emulator.end(signal.SIGKILL)
    emulator.wait_until(lambda: not alive(int(pid)))
    emulator.start()
    job = tuning_ended(emulator, "tuned")
    assert job["HyperParameterTuningJobStatus"] == "Failed"
    assert job["FailureReason"].startswith("InternalServerError")
    statuses = {
        trial["TrainingJobName"]: trial["TrainingJobStatus"] for trial in trials(emulator, "tuned")
    }
    assert statuses == {first: "Completed", second: "Failed"}
    assert job["BestTrainingJob"]["TrainingJobName"] == first
    assert job["BestTrainingJob"]["FinalHyperParameterTuningJobObjectiveMetric"]["Value"] == 0.5
    assert emulator.body(f"tuned/{first}/output/model.tar.gz")
    emulator.sagemaker.create_hyper_parameter_tuning_job(
        **tuning_request("again", "Grid", ranges(x=["0.2"]))
    )
    assert tuning_ended(emulator, "again")["HyperParameterTuningJobStatus"] == "Completed"


def test_ecr_iam_and_the_model_registry_survive(emulator: Emulator) -> None:
    emulator.client("ecr").create_repository(
        repositoryName="kennel", imageTagMutability="IMMUTABLE"
    )
    emulator.client("iam").create_role(RoleName="kennel", AssumeRolePolicyDocument="{}")
    emulator.client("iam").create_role(RoleName="deleted", AssumeRolePolicyDocument="{}")
    emulator.client("iam").delete_role(RoleName="deleted")
    emulator.sagemaker.create_model_package_group(ModelPackageGroupName="dogs")
    emulator.end(signal.SIGKILL)
    emulator.start()
    (repository,) = emulator.client("ecr").describe_repositories()["repositories"]
    assert repository["imageTagMutability"] == "IMMUTABLE"
    roles = emulator.client("iam").list_roles()["Roles"]
    assert [role["RoleName"] for role in roles] == ["kennel"]
    groups = emulator.sagemaker.list_model_package_groups()["ModelPackageGroupSummaryList"]
    assert [group["ModelPackageGroupName"] for group in groups] == ["dogs"]


def test_an_endpoint_comes_back_into_service(emulator: Emulator) -> None:
    deploy(emulator, "lasting")
    pid = predict(emulator, "lasting")["pid"]
    emulator.end(signal.SIGKILL)
    emulator.wait_until(lambda: not alive(pid))
    emulator.start()
    wait_in_service(emulator, "lasting")
    assert predict(emulator, "lasting")["model"] == {"name.txt": "archived"}
    emulator.sagemaker.delete_endpoint(EndpointName="lasting")


def verb(*words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "emulator", *words], capture_output=True, text=True
    )


def test_a_changed_concurrency_survives(emulator: Emulator) -> None:
    create_model(emulator, "paid")
    config = {"MemorySizeInMB": 1024, "MaxConcurrency": 1}
    emulator.sagemaker.create_endpoint_config(
        EndpointConfigName="paid",
        ProductionVariants=[{"VariantName": "a", "ModelName": "paid", "ServerlessConfig": config}],
    )
    emulator.sagemaker.create_endpoint(EndpointName="paid", EndpointConfigName="paid")
    wait_in_service(emulator, "paid")
    change = {"VariantName": "a", "ServerlessUpdateConfig": {"MaxConcurrency": 3}}
    emulator.sagemaker.update_endpoint_weights_and_capacities(
        EndpointName="paid", DesiredWeightsAndCapacities=[change]
    )
    wait_in_service(emulator, "paid")
    emulator.end()
    emulator.start()
    wait_in_service(emulator, "paid")
    (variant,) = emulator.sagemaker.describe_endpoint(EndpointName="paid")["ProductionVariants"]
    assert variant["CurrentServerlessConfig"] == config | {"MaxConcurrency": 3}
    emulator.sagemaker.delete_endpoint(EndpointName="paid")


def test_start_status_stop(tmp_path: Path) -> None:
    state = ("--state", str(tmp_path / "s"))
    assert verb("status", *state).returncode == 3
    started = verb("start", *state)
    assert started.returncode == 0, started.stderr
    try:
        assert re.search(r"^export AWS_ENDPOINT_URL=http://127\.0\.0\.1:\d+$", started.stdout, re.M)
        assert re.search(r"^export AWS_ACCESS_KEY_ID=EMULATOR\w{24}$", started.stdout, re.M)
        assert re.match(r"# engine: (process|docker for the images that it has)", started.stdout)
        shown = verb("status", *state).stdout
        assert shown.startswith(started.stdout)
        assert re.fullmatch(r"# on disk: .*", shown.removeprefix(started.stdout).strip())
        assert "stop it first" in verb("clean", *state, "--yes").stderr
        assert verb("start", *state).stdout == started.stdout  # only one runs
        second = verb("run", *state)
        assert second.returncode == 1
        assert "already runs" in second.stderr
    finally:
        stopped = verb("stop", *state)
    assert stopped.stdout == "stopped\n"
    assert verb("stop", *state).stdout == "not running\n"
    (tmp_path / "s" / "mine").write_text("kept")
    asked = verb("clean", *state)
    assert (asked.returncode, "add --yes" in asked.stdout) == (1, True)
    assert verb("clean", *state, "--yes").stdout.startswith("deleted ")
    assert sorted(path.name for path in (tmp_path / "s").iterdir()) == ["lock", "mine"]
    assert "no data" in verb("clean", "--state", str(tmp_path)).stdout


def test_without_a_docker_engine_jobs_run_as_processes(
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
