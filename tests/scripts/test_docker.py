"""The verbs with real containers: the images of this checkout, on the emulator's docker engine."""

import json
from collections.abc import Iterator
from pathlib import Path

import boto3  # type: ignore[import-untyped]
import pytest

from tests.containers import conftest as built
from tests.containers.engine import Images
from tests.scripts.conftest import run_emulator, use_endpoint
from tests.scripts.digits_job import SMALL, SPEC, changes
from tests.scripts.kennel import kennel

base_image, docker, images = built.base_image, built.docker, built.images
pytestmark = pytest.mark.docker
REGISTRY = "123456789012.dkr.ecr.us-east-1.amazonaws.com"


@pytest.fixture
def emulator(tmp_path: Path, images: Images, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The emulator on the docker engine; its state folder."""
    monkeypatch.setenv("DOCKER", images.docker)
    for name in (images.train, images.serve):
        tagged = images.call("tag", name, f"{REGISTRY}/{name}")
        assert tagged.returncode == 0, tagged.stdout
    state = tmp_path / "state"
    with run_emulator(state, "--engine", "docker") as address:
        use_endpoint(monkeypatch, address)
        boto3.client("s3").create_bucket(Bucket="kennel-digits")
        yield state
    label = f"label=kennel.emulator={state}"
    assert images.call("ps", "--all", "--quiet", "--filter", label).stdout == ""
    assert images.call("network", "ls", "--quiet", "--filter", label).stdout == ""


def test_two_isolated_hosts_train_and_a_container_serves(
    emulator: Path, images: Images, few_digits: Path
) -> None:
    names = {f"images.{one}": f"{REGISTRY}/kennel-{one}:test" for one in ("train", "serve")}
    options = [*SMALL, *changes(names)]
    uploaded = kennel("data", "upload", str(few_digits), "s3://kennel-digits/data")
    assert uploaded.code == 0, uploaded.err

    two = changes({"training.instance_count": 2, "training.network_isolation": "true"})
    trained = kennel("train", SPEC, *options, *two)
    assert trained.code == 0, trained.err
    job = trained.out.splitlines()[0]
    log = kennel("logs", job).out
    assert "algo-1 | " in log
    assert "algo-2 | " in log
    about = boto3.client("sagemaker").describe_training_job(TrainingJobName=job)
    assert about["EnableNetworkIsolation"]
    assert about["ResourceConfig"]["InstanceCount"] == 2
    assert "test:accuracy: " in kennel("status", job).out

    deployed = kennel("deploy", SPEC, *options, "--job", job)
    assert deployed.code == 0, deployed.err
    photo = next((few_digits / "test").rglob("*.png"))
    answer = json.loads(kennel("predict", "digits", str(photo), "--json").out)[str(photo)]
    assert len(answer["labels"]) == 10
    assert "deleted endpoint digits" in kennel("down", "digits").err
