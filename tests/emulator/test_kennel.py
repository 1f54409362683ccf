"""The real training and serving entries, started by their public commands on the process engine."""

import json
import math
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.emulator.conftest import BUCKET, ROLE, Running
from tests.emulator.test_hosting import in_service, invoke
from tests.emulator.test_training import lines_of

# The starting times of a real server on a busy machine.
REAL: dict[str, float] = {
    "startup_s": 240,
    "ping_s": 2,
    "invocation_s": 60,
    "payload_bytes": 6 * 2**20,
}


@pytest.fixture
def emulator(tmp_path: Path) -> Iterator[Running]:
    running = Running(tmp_path / "state", {}, limits=REAL).start()
    running.s3.create_bucket(Bucket=BUCKET)
    yield running
    running.end()


def test_train_on_two_hosts_then_serve(emulator: Running, few_digits: Path) -> None:
    for file in sorted(few_digits.rglob("*.png")):
        key = f"photos/{file.relative_to(few_digits).as_posix()}"
        emulator.s3.upload_file(str(file), BUCKET, key)
    hyperparameters = {
        "architecture": "squeezenet1_1",
        "weights": "none",
        "trainable": "all",
        "epochs": "1",
        "image_size": "32",
        "batch_size": "32",
        "workers": "0",
    }
    emulator.train(
        "digits",
        HyperParameters=hyperparameters,
        ResourceConfig={"InstanceType": "ml.m5.large", "InstanceCount": 2, "VolumeSizeInGB": 1},
        Environment={"OMP_NUM_THREADS": "1"},
    )
    emulator.until(lambda: emulator.job("digits")["TrainingJobStatus"] != "InProgress", seconds=300)
    job = emulator.job("digits")
    assert job["TrainingJobStatus"] == "Completed", "\n".join(lines_of(emulator, "digits"))[-4000:]
    container = {
        "Image": "kennel-serve",
        "ModelDataUrl": job["ModelArtifacts"]["S3ModelArtifacts"],
    }
    emulator.sagemaker.create_model(
        ModelName="digits", ExecutionRoleArn=ROLE, PrimaryContainer=container
    )
    variant = {
        "VariantName": "AllTraffic",
        "ModelName": "digits",
        "InstanceType": "ml.m5.large",
        "InitialInstanceCount": 1,
    }
    emulator.sagemaker.create_endpoint_config(
        EndpointConfigName="digits", ProductionVariants=[variant]
    )
    emulator.sagemaker.create_endpoint(EndpointName="digits", EndpointConfigName="digits")
    in_service(emulator, "digits")
    photo = next(few_digits.rglob("*.png")).read_bytes()
    accept = "application/json;verbose"
    answer = invoke(emulator, "digits", photo, ContentType="image/png", Accept=accept)
    said = json.loads(answer["Body"])
    assert len(said["labels"]) == 10
    assert math.isclose(sum(said["probabilities"]), 1, rel_tol=1e-3)
