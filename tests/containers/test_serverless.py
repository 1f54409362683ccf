"""The emulator's serverless endpoint runs kennel-serve-cpu, with the docker engine."""

import json
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from tests.containers.engine import Images, Job
from tests.containers.test_serving import in_process
from tests.emulator.client import BUCKET, Emulator
from tests.emulator.hosting import create_model, invoke, wait_in_service

pytestmark = pytest.mark.docker
NAME = "digits"
SERVERLESS = {"MemorySizeInMB": 2048, "MaxConcurrency": 2}


@pytest.fixture
def emulator(tmp_path: Path, images: Images, monkeypatch: pytest.MonkeyPatch) -> Iterator[Emulator]:
    monkeypatch.setenv("DOCKER", images.docker)
    limits = {"startup_s": 240.0, "invocation_s": 60.0}
    running = Emulator(tmp_path / "state", {}, ("--engine", "docker"), limits).start()
    yield running
    running.end()


def test_a_serverless_endpoint_answers_from_the_small_image(
    emulator: Emulator,
    images: Images,
    trained: tuple[Job, str],
    few_digits: Path,
    tmp_path: Path,
) -> None:
    model, archive = trained[0].root / "model", tmp_path / "model.tar.gz"
    with tarfile.open(archive, "w:gz") as packed:
        packed.add(model, ".")
    emulator.s3.create_bucket(Bucket=BUCKET)
    emulator.s3.upload_file(str(archive), BUCKET, "digits/model.tar.gz")
    create_model(
        emulator,
        NAME,
        env={"KENNEL_PRECISION": "fp32"},
        Image=images.serve_cpu,
        ModelDataUrl=f"s3://{BUCKET}/digits/model.tar.gz",
    )
    variant = {"VariantName": "AllTraffic", "ModelName": NAME, "ServerlessConfig": SERVERLESS}
    emulator.sagemaker.create_endpoint_config(EndpointConfigName=NAME, ProductionVariants=[variant])
    emulator.sagemaker.create_endpoint(EndpointName=NAME, EndpointConfigName=NAME)
    wait_in_service(emulator, NAME)
    described = emulator.sagemaker.describe_endpoint(EndpointName=NAME)
    assert described["ProductionVariants"][0]["CurrentServerlessConfig"] == SERVERLESS
    picture = next((few_digits / "test").rglob("*.png")).read_bytes()
    answer = invoke(emulator, NAME, picture, ContentType="image/png", Accept="application/json")
    scores = torch.tensor(json.loads(answer["Body"]))
    torch.testing.assert_close(scores, in_process(model, picture), atol=1e-4, rtol=0)
    running = images.call(
        "ps", "--format", "{{.Image}}", "--filter", f"ancestor={images.serve_cpu}"
    )
    assert running.stdout.split() == [images.serve_cpu]
