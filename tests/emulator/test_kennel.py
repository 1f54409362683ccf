"""The real training and serving entries, started by their public commands on the process engine."""

import json
import math
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.emulator.client import BUCKET, TWO_MACHINES, Emulator
from tests.emulator.hosting import create_config, create_model, invoke, wait_in_service

pytestmark = pytest.mark.slow

# Limits for a real server on a busy machine.
REAL: dict[str, float] = {
    "startup_s": 240,
    "ping_s": 2,
    "invocation_s": 60,
    "payload_bytes": 6 * 2**20,
}


@pytest.fixture
def emulator(tmp_path: Path) -> Iterator[Emulator]:
    running = Emulator(tmp_path / "state", {}, limits=REAL).start()
    running.s3.create_bucket(Bucket=BUCKET)
    yield running
    running.end()


def test_train_on_two_hosts_then_serve(emulator: Emulator, few_digits: Path) -> None:
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
        ResourceConfig=TWO_MACHINES,
        Environment={"OMP_NUM_THREADS": "1"},
    )
    emulator.wait_until(
        lambda: emulator.job("digits")["TrainingJobStatus"] != "InProgress", seconds=300
    )
    job = emulator.job("digits")
    assert job["TrainingJobStatus"] == "Completed", "\n".join(emulator.lines("digits"))[-4000:]
    artifacts = job["ModelArtifacts"]["S3ModelArtifacts"]
    create_model(emulator, "digits", Image="kennel-serve", ModelDataUrl=artifacts)
    create_config(emulator, "digits", "digits")
    emulator.sagemaker.create_endpoint(EndpointName="digits", EndpointConfigName="digits")
    wait_in_service(emulator, "digits")
    photo = next(few_digits.rglob("*.png")).read_bytes()
    accept = "application/json;verbose"
    answer = invoke(emulator, "digits", photo, ContentType="image/png", Accept=accept)
    prediction = json.loads(answer["Body"])
    assert len(prediction["labels"]) == 10
    assert math.isclose(sum(prediction["probabilities"]), 1, rel_tol=1e-3)
