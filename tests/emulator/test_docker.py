"""The docker engine: a user's images in a real engine, with the same contract as processes."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from botocore.exceptions import ClientError  # type: ignore[import-untyped, unused-ignore]

from tests.containers import conftest as built
from tests.containers.engine import Images
from tests.emulator.conftest import BUCKET, HERE, Running, fill
from tests.emulator.test_hosting import ask, config, in_service, model
from tests.emulator.test_training import lines_of, training

base_image, docker, images = built.base_image, built.docker, built.images
pytestmark = pytest.mark.docker
TWO = {"InstanceType": "ml.m5.large", "InstanceCount": 2, "VolumeSizeInGB": 1}
FILES = {"trainer": "trainer.py", "server": "model_server.py"}


@pytest.fixture(scope="module")
def users(images: Images, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Images that run this folder's trainer and model server."""
    names = {}
    for name, file in FILES.items():
        folder = tmp_path_factory.mktemp(name)
        (folder / file).write_bytes((HERE / file).read_bytes())
        (folder / "Dockerfile").write_text(
            f"FROM {images.train}\nCOPY {file} /user/{file}\n"
            f'ENTRYPOINT ["python", "-u", "/user/{file}"]\n'
        )
        names[name] = f"kennel-test-{name}:latest"
        built = images.call("build", "--tag", names[name], str(folder), timeout=300)
        assert built.returncode == 0, built.stdout
    return names


@pytest.fixture
def emulator(
    tmp_path: Path,
    users: dict[str, str],
    images: Images,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Running]:
    monkeypatch.setenv("DOCKER", images.docker)
    limits = {"startup_s": 60.0, "endpoint_grace_s": 5.0, "stop_grace_s": 5.0}
    running = Running(tmp_path / "state", {}, ("--engine", "docker"), limits).start()
    fill(running)
    yield running
    running.end()
    assert containers(images, running) == []


def containers(images: Images, emulator: Running) -> list[str]:
    """Return the containers of one emulator."""
    listed = images.call(
        "ps", "--all", "--quiet", "--filter", f"label=kennel.emulator={emulator.state}"
    )
    return listed.stdout.split()


def test_two_hosts_meet_without_a_way_out(emulator: Running, users: dict[str, str]) -> None:
    address = emulator.url.removeprefix("http://")
    emulator.train(
        "two",
        users["trainer"],
        HyperParameters={"meet": "1", "reach": address},
        ResourceConfig=TWO,
        EnableNetworkIsolation=True,
    )
    job = emulator.ended("two")
    assert job["TrainingJobStatus"] == "Completed", job["FailureReason"]
    lines = lines_of(emulator, "two")
    assert "met algo-2" in lines
    assert "channel train: ['cat/1.jpg', 'dog/2.jpg']" in lines
    assert "reached" not in lines
    assert "out/two/output/model.tar.gz" in emulator.keys("out/")


def test_stop_and_failure(emulator: Running, users: dict[str, str]) -> None:
    emulator.train("stopped", users["trainer"], HyperParameters={"sleep": "600"})
    emulator.train(
        "fails",
        users["trainer"],
        HyperParameters={"fail_on": "algo-1", "reason": "no luck", "code": "7"},
        EnableNetworkIsolation=True,
    )
    assert emulator.ended("fails")["FailureReason"] == "AlgorithmError: no luck, exit code: 7"
    training(emulator, "stopped")
    emulator.sagemaker.stop_training_job(TrainingJobName="stopped")
    assert emulator.ended("stopped")["TrainingJobStatus"] == "Stopped"
    assert "got SIGTERM" in lines_of(emulator, "stopped")


def test_an_emulator_that_was_killed_leaves_no_container(
    emulator: Running,
    users: dict[str, str],
    images: Images,
) -> None:
    emulator.train(
        "during",
        users["trainer"],
        HyperParameters={"steps": "3", "sleep_at": "2"},
        CheckpointConfig={"S3Uri": f"s3://{BUCKET}/kept"},
    )
    training(emulator, "during", "step 2")
    emulator.end(signal.SIGKILL)
    assert len(containers(images, emulator)) == 1
    emulator.start()
    assert containers(images, emulator) == []
    assert emulator.job("during")["TrainingJobStatus"] == "Failed"
    assert emulator.body("kept/step.txt") == b"2"


def test_an_endpoints_container_is_replaced(
    emulator: Running,
    users: dict[str, str],
    images: Images,
) -> None:
    model(emulator, "endpoint", Image=users["server"])
    config(emulator, "endpoint", "endpoint")
    emulator.sagemaker.create_endpoint(EndpointName="endpoint", EndpointConfigName="endpoint")
    in_service(emulator, "endpoint")
    assert ask(emulator, "endpoint")["model"] == {"name.txt": "tarred"}
    (before,) = containers(images, emulator)
    images.call("kill", before)
    emulator.until(lambda: containers(images, emulator) not in ([before], []))
    in_service(emulator, "endpoint")
    emulator.until(lambda: _answers(emulator))


def _answers(emulator: Running) -> bool:
    try:
        return bool(ask(emulator, "endpoint"))
    except ClientError:
        return False
