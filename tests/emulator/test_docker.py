"""The docker engine runs a user's images as the process engine does."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from botocore.exceptions import ClientError  # type: ignore[import-untyped, unused-ignore]

from tests.containers import conftest as built
from tests.containers.engine import Images
from tests.emulator.client import BUCKET, HERE, TWO_MACHINES, Emulator, upload_photos
from tests.emulator.hosting import create_config, create_model, predict, wait_in_service

base_image, docker, images = built.base_image, built.docker, built.images
pytestmark = pytest.mark.docker
FILES = {"trainer": "trainer.py", "server": "model_server.py"}


@pytest.fixture(scope="module")
def user_images(images: Images, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
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
    user_images: dict[str, str],
    images: Images,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Emulator]:
    monkeypatch.setenv("DOCKER", images.docker)
    limits = {"startup_s": 60.0, "endpoint_grace_s": 5.0, "stop_grace_s": 5.0}
    running = Emulator(tmp_path / "state", {}, ("--engine", "docker"), limits).start()
    upload_photos(running)
    yield running
    running.end()
    assert containers(images, running) == []


def containers(images: Images, emulator: Emulator) -> list[str]:
    """Return the containers of one emulator."""
    listed = images.call(
        "ps", "--all", "--quiet", "--filter", f"label=kennel.emulator={emulator.state}"
    )
    return listed.stdout.split()


def test_two_isolated_hosts_reach_each_other_and_nothing_else(
    emulator: Emulator, user_images: dict[str, str]
) -> None:
    address = emulator.url.removeprefix("http://")
    emulator.train(
        "two",
        user_images["trainer"],
        HyperParameters={"meet": "1", "reach": address},
        ResourceConfig=TWO_MACHINES,
        EnableNetworkIsolation=True,
    )
    job = emulator.ended("two")
    assert job["TrainingJobStatus"] == "Completed", job["FailureReason"]
    lines = emulator.lines("two")
    assert "met algo-2" in lines
    assert "channel train: ['cat/1.jpg', 'dog/2.jpg']" in lines
    assert "reached" not in lines
    assert "out/two/output/model.tar.gz" in emulator.keys("out/")


def test_stop_and_failure(emulator: Emulator, user_images: dict[str, str]) -> None:
    emulator.train("stopped", user_images["trainer"], HyperParameters={"sleep": "600"})
    emulator.train(
        "fails",
        user_images["trainer"],
        HyperParameters={"fail_on": "algo-1", "reason": "no luck", "code": "7"},
        EnableNetworkIsolation=True,
    )
    assert emulator.ended("fails")["FailureReason"] == "AlgorithmError: no luck, exit code: 7"
    emulator.wait_for_line("stopped")
    emulator.sagemaker.stop_training_job(TrainingJobName="stopped")
    assert emulator.ended("stopped")["TrainingJobStatus"] == "Stopped"
    assert "got SIGTERM" in emulator.lines("stopped")


def test_a_killed_emulators_containers_are_removed_at_the_next_start(
    emulator: Emulator,
    user_images: dict[str, str],
    images: Images,
) -> None:
    emulator.train(
        "during",
        user_images["trainer"],
        HyperParameters={"steps": "3", "sleep_at": "2"},
        CheckpointConfig={"S3Uri": f"s3://{BUCKET}/kept"},
    )
    emulator.wait_for_line("during", "step 2")
    emulator.end(signal.SIGKILL)
    assert len(containers(images, emulator)) == 1
    emulator.start()
    assert containers(images, emulator) == []
    assert emulator.job("during")["TrainingJobStatus"] == "Failed"
    assert emulator.body("kept/step.txt") == b"2"


def test_an_endpoints_container_is_replaced(
    emulator: Emulator,
    user_images: dict[str, str],
    images: Images,
) -> None:
    create_model(emulator, "endpoint", Image=user_images["server"])
    create_config(emulator, "endpoint", "endpoint")
    emulator.sagemaker.create_endpoint(EndpointName="endpoint", EndpointConfigName="endpoint")
    wait_in_service(emulator, "endpoint")
    assert predict(emulator, "endpoint")["model"] == {"name.txt": "archived"}
    (before,) = containers(images, emulator)
    images.call("kill", before)
    emulator.wait_until(lambda: containers(images, emulator) not in ([before], []))
    wait_in_service(emulator, "endpoint")
    emulator.wait_until(lambda: _answers(emulator))


def _answers(emulator: Emulator) -> bool:
    try:
        return bool(predict(emulator, "endpoint"))
    except ClientError:
        return False
