import io
import os
import re
import signal
import tarfile
import urllib.request
from pathlib import Path

import pytest

from tests.emulator.client import (
    BUCKET,
    IMAGES,
    QUICK,
    ROLE,
    TWO_MACHINES,
    Emulator,
    alive,
    refused,
    signed,
    upload_photos,
)
from tests.emulator.hosting import transform
from tests.emulator.tuning import ranges, tuning_request

pytestmark = pytest.mark.slow


def test_a_job_from_data_to_artifacts(emulator: Emulator) -> None:
    emulator.train("whole", HyperParameters={"epochs": "3"}, Environment={"COLOUR": "blue"})
    emulator.sagemaker.get_waiter("training_job_completed_or_stopped").wait(
        TrainingJobName="whole", WaiterConfig=QUICK
    )
    job = emulator.job("whole")
    assert job["TrainingJobStatus"] == job["SecondaryStatus"] == "Completed"
    assert job["TrainingJobArn"].endswith(":training-job/whole")
    assert job["HyperParameters"] == {"epochs": "3"}
    statuses = [entry["Status"] for entry in job["SecondaryStatusTransitions"]]
    assert statuses == ["Starting", "Downloading", "Training", "Uploading", "Completed"]
    assert all("EndTime" in entry for entry in job["SecondaryStatusTransitions"])
    assert job["BillableTimeInSeconds"] == job["TrainingTimeInSeconds"] >= 1
    assert job["TrainingEndTime"] > job["TrainingStartTime"] > job["CreationTime"]
    assert job["FinalMetricDataList"][0]["MetricName"] == "loss"
    assert job["FinalMetricDataList"][0]["Value"] == 0.25
    where = job["ModelArtifacts"]["S3ModelArtifacts"]
    assert where == f"s3://{BUCKET}/out/whole/output/model.tar.gz"
    with tarfile.open(fileobj=io.BytesIO(emulator.body("out/whole/output/model.tar.gz"))) as model:
        assert model.getnames() == ["weights-0.bin"]
    assert "out/whole/output/output.tar.gz" in emulator.keys("out/whole")
    ((stream, lines),) = emulator.logs("whole").items()
    assert re.fullmatch(r"whole/algo-1-\d+", stream)
    assert "channel train: ['cat/1.jpg', 'dog/2.jpg']" in lines
    assert 'hyperparameters {"epochs": "3"}' in lines
    assert lines[-1] == "loss=0.25; done"


def test_failure_reason_starts_with_the_failure_file(emulator: Emulator) -> None:
    hyperparameters = {"fail_on": "algo-1", "reason": "é" * 2000, "code": "3"}
    emulator.train("fails", HyperParameters=hyperparameters)
    job = emulator.ended("fails")
    assert job["TrainingJobStatus"] == "Failed"
    assert job["FailureReason"].startswith("AlgorithmError: éééé")
    assert job["FailureReason"].endswith("é, exit code: 3")
    assert len(job["FailureReason"]) == 1024
    # AWS names the place where the model would be, whatever becomes of the job.
    where = job["ModelArtifacts"]["S3ModelArtifacts"]
    assert where == f"s3://{BUCKET}/out/fails/output/model.tar.gz"
    assert "out/fails/output/model.tar.gz" not in emulator.keys("out/fails")


def test_missing_data_is_refused(emulator: Emulator) -> None:
    """Before there is a job, as in SageMaker; clients try again after these words."""
    address = f"s3://{BUCKET}/nothing"
    source = {"S3DataType": "S3Prefix", "S3Uri": address}
    channel = {"ChannelName": "train", "DataSource": {"S3DataSource": source}}
    expected = (
        "ValidationException",
        f'No S3 objects found under S3 URL "{address}" given in input data source. Please ensure '
        "that the bucket exists in the selected region (us-east-1), that objects exist under that "
        f'S3 prefix, and that the role "{ROLE}" has "s3:ListBucket" permissions on bucket '
        f'"{BUCKET}".',
    )
    assert refused(emulator.train, "no-data", InputDataConfig=[channel]) == expected
    assert refused(emulator.job, "no-data")[0] == "ValidationException"
    request = tuning_request("no-data", "Grid", ranges(x=["1"]))
    request["TrainingJobDefinition"]["InputDataConfig"] = [channel]
    create = emulator.sagemaker.create_hyper_parameter_tuning_job
    assert refused(create, **request) == expected
    assert refused(transform, emulator, "no-data", "nothing") == expected
    source["S3Uri"] = "s3://nowhere/photos"
    code, message = refused(emulator.train, "no-data", InputDataConfig=[channel])
    assert (code, message.endswith('on bucket "nowhere".')) == ("ValidationException", True)


def test_data_that_is_deleted_before_the_job_starts(tmp_path: Path) -> None:
    own = Emulator(tmp_path / "state", IMAGES, ("--engine", "process", "--jobs", "1")).start()
    try:
        upload_photos(own)
        own.train("first", HyperParameters={"sleep": "600"})
        own.wait_for_line("first")
        own.train("waits")
        for key in own.keys("photos/"):
            own.s3.delete_object(Bucket=BUCKET, Key=key)
        own.sagemaker.stop_training_job(TrainingJobName="first")
        job = own.ended("waits")
        assert job["TrainingJobStatus"] == "Failed"
        assert job["FailureReason"].startswith("ClientError: Data download failed: No S3 objects")
    finally:
        own.end()


def test_a_process_that_is_killed_fails_the_job_and_leaves_no_child(emulator: Emulator) -> None:
    emulator.train("killed", HyperParameters={"spawn": "1", "sleep": "600"})
    emulator.wait_for_line("killed", "child")
    text = "\n".join(emulator.lines("killed"))
    pids = [int(number) for number in re.findall(r"(?:pid|child) (\d+)", text)]
    os.kill(pids[0], signal.SIGKILL)
    job = emulator.ended("killed")
    assert job["FailureReason"].endswith("exit code: 137")
    emulator.wait_until(lambda: not any(alive(pid) for pid in pids))


@pytest.mark.parametrize("ignores", [False, True])
def test_stop_sends_sigterm_then_sigkill_and_keeps_the_model(
    emulator: Emulator, ignores: bool
) -> None:
    name = f"stopped-{ignores}"
    behaviour = {"on_sigterm": "ignore"} if ignores else {"exit_at_sigterm": "1"}
    emulator.train(name, HyperParameters={"sleep": "600", **behaviour})
    emulator.wait_for_line(name)
    emulator.sagemaker.stop_training_job(TrainingJobName=name)
    assert emulator.job(name)["TrainingJobStatus"] in ("Stopping", "Stopped")
    job = emulator.ended(name)
    assert job["TrainingJobStatus"] == job["SecondaryStatus"] == "Stopped"
    assert "got SIGTERM" in emulator.lines(name)
    with tarfile.open(
        fileobj=io.BytesIO(emulator.body(f"out/{name}/output/model.tar.gz"))
    ) as model:
        assert model.getnames() == ([] if ignores else ["saved-at-sigterm"])
    code, message = refused(emulator.sagemaker.stop_training_job, TrainingJobName=name)
    assert code == "ValidationException"
    assert "is in status Stopped" in message


def test_max_runtime_stops_the_job(emulator: Emulator) -> None:
    emulator.train(
        "long", HyperParameters={"sleep": "600"}, StoppingCondition={"MaxRuntimeInSeconds": 1}
    )
    job = emulator.ended("long")
    assert job["TrainingJobStatus"] == "Stopped"
    assert job["SecondaryStatus"] == "MaxRuntimeExceeded"
    assert "S3ModelArtifacts" in job["ModelArtifacts"]


def test_a_spot_interruption_resumes_from_the_checkpoints(emulator: Emulator) -> None:
    spot = {
        "EnableManagedSpotTraining": True,
        "StoppingCondition": {"MaxRuntimeInSeconds": 600, "MaxWaitTimeInSeconds": 600},
        "CheckpointConfig": {"S3Uri": f"s3://{BUCKET}/checkpoints/spot"},
    }
    emulator.train("spot", HyperParameters={"steps": "4", "sleep_at": "2"}, **spot)
    emulator.wait_for_line("spot", "step 2")
    # They are in S3 while the job still runs.
    emulator.wait_until(lambda: emulator.keys("checkpoints/spot") == ["checkpoints/spot/step.txt"])
    url = f"{emulator.url}/_emulator/interrupt/spot"
    with urllib.request.urlopen(
        urllib.request.Request(url, headers=signed("sagemaker"), method="POST")
    ) as answer:
        assert answer.status == 200
    job = emulator.ended("spot")
    assert job["TrainingJobStatus"] == "Completed"
    statuses = [entry["Status"] for entry in job["SecondaryStatusTransitions"]]
    assert statuses.count("Training") == 2
    assert "Interrupted" in statuses
    assert "starting at step 2" in emulator.lines("spot")
    assert emulator.body("checkpoints/spot/step.txt") == b"4"


def test_two_hosts_find_each_other_by_name(emulator: Emulator) -> None:
    emulator.train("two", HyperParameters={"meet": "1"}, ResourceConfig=TWO_MACHINES)
    job = emulator.ended("two")
    assert job["TrainingJobStatus"] == "Completed", job["FailureReason"]
    logs = emulator.logs("two")
    assert sorted(name.rpartition("-")[0] for name in logs) == ["two/algo-1", "two/algo-2"]
    assert any(line.startswith("met ") for line in emulator.lines("two"))
    with tarfile.open(fileobj=io.BytesIO(emulator.body("out/two/output/model.tar.gz"))) as model:
        assert model.getnames() == ["weights-0.bin", "weights-1.bin"]


def test_a_host_that_fails_fails_the_job_with_its_reason(emulator: Emulator) -> None:
    hyperparameters = {"fail_on": "algo-2", "reason": "no luck", "sleep": "600"}
    emulator.train("one-fails", HyperParameters=hyperparameters, ResourceConfig=TWO_MACHINES)
    job = emulator.ended("one-fails")
    assert job["FailureReason"] == "AlgorithmError: no luck, exit code: 1"


def test_each_host_gets_its_shard_of_the_objects(emulator: Emulator) -> None:
    source = {
        "S3DataType": "S3Prefix",
        "S3Uri": f"s3://{BUCKET}/photos/",
        "S3DataDistributionType": "ShardedByS3Key",
    }
    channel = {"ChannelName": "train", "DataSource": {"S3DataSource": source}}
    emulator.train("shards", InputDataConfig=[channel], ResourceConfig=TWO_MACHINES)
    assert emulator.ended("shards")["TrainingJobStatus"] == "Completed"
    channels = [line for line in emulator.lines("shards") if line.startswith("channel")]
    assert sorted(channels) == ["channel train: ['cat/1.jpg']", "channel train: ['dog/2.jpg']"]


@pytest.mark.parametrize("isolated", [False, True])
def test_network_isolation(emulator: Emulator, isolated: bool) -> None:
    name = f"isolated-{isolated}"
    address = emulator.url.removeprefix("http://")
    emulator.train(name, HyperParameters={"reach": address}, EnableNetworkIsolation=isolated)
    assert emulator.ended(name)["TrainingJobStatus"] == "Completed"
    reached = "reached" in emulator.lines(name)
    assert reached is not isolated


def test_config_files_of_debugger_and_profiler(emulator: Emulator) -> None:
    emulator.train(
        "debugged",
        DebugHookConfig={"S3OutputPath": f"s3://{BUCKET}/debug"},
        ProfilerConfig={"S3OutputPath": f"s3://{BUCKET}/debug"},
        CheckpointConfig={"S3Uri": f"s3://{BUCKET}/checkpoints/debugged"},
    )
    assert emulator.ended("debugged")["TrainingJobStatus"] == "Completed"
    (line,) = (line for line in emulator.lines("debugged") if line.startswith("configs"))
    for name in ("checkpointconfig", "debughookconfig", "profilerconfig", "resourceconfig"):
        assert name in line


def test_tensors_and_profiles_go_to_s3_while_the_job_runs(emulator: Emulator) -> None:
    emulator.train(
        "recording",
        HyperParameters={"record": "1", "sleep": "600"},
        DebugHookConfig={
            "S3OutputPath": f"s3://{BUCKET}/recorded",
            "LocalPath": "/opt/ml/output/elsewhere",
        },
        ProfilerConfig={"S3OutputPath": f"s3://{BUCKET}/recorded"},
    )
    wanted = {
        "recorded/recording/debug-output/events/0.json": b"debughookconfig",
        "recorded/recording/profiler-output/events/0.json": b"profilerconfig",
    }
    emulator.wait_until(lambda: wanted.keys() <= set(emulator.keys("recorded/")))
    assert {key: emulator.body(key) for key in wanted} == wanted
    assert emulator.job("recording")["TrainingJobStatus"] == "InProgress"
    emulator.sagemaker.stop_training_job(TrainingJobName="recording")
    emulator.ended("recording")


def test_lists_are_filtered_and_paged(emulator: Emulator) -> None:
    for number in range(3):
        emulator.train(f"paged-{number}")
        emulator.ended(f"paged-{number}")
    client = emulator.sagemaker
    pages = client.get_paginator("list_training_jobs").paginate(
        NameContains="paged", SortBy="Name", SortOrder="Ascending", PaginationConfig={"PageSize": 2}
    )
    names = [[entry["TrainingJobName"] for entry in page["TrainingJobSummaries"]] for page in pages]
    assert names == [["paged-0", "paged-1"], ["paged-2"]]
    none = client.list_training_jobs(NameContains="paged", StatusEquals="Failed")
    assert none["TrainingJobSummaries"] == []


def test_objects_that_cannot_be_files_are_named(emulator: Emulator) -> None:
    """On a disk, `a` cannot be a file and a folder, and a name has at most 255 bytes."""
    for name, keys in (("folder", ("a", "a/b.jpg")), ("long", ("x" * 300,))):
        for key in keys:
            emulator.s3.put_object(Bucket=BUCKET, Key=f"unfit/{name}/{key}", Body=b"x")
        source = {"S3DataType": "S3Prefix", "S3Uri": f"s3://{BUCKET}/unfit/{name}/"}
        channel = {"ChannelName": "train", "DataSource": {"S3DataSource": source}}
        emulator.train(f"unfit-{name}", InputDataConfig=[channel])
        reason = emulator.ended(f"unfit-{name}")["FailureReason"]
        place = f"s3://{BUCKET}/unfit/{name}/{keys[-1]}"
        assert reason.startswith(f"ClientError: {place} cannot be downloaded to a file: ")


def test_a_line_longer_than_cloudwatchs_events_is_cut(emulator: Emulator) -> None:
    emulator.train("endless", HyperParameters={"long_line": "600000"})
    assert emulator.ended("endless")["TrainingJobStatus"] == "Completed"
    lengths = [len(line) for line in emulator.lines("endless") if line.startswith("xxx")]
    assert lengths == [262_118, 262_118, 75_764]
