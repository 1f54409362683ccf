"""Pins, locks and Dockerfiles agree. Needs no engine."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

DOCKER = Path(__file__).parents[2] / "docker"
DOCKERFILES = sorted(DOCKER.glob("*.Dockerfile"))
LOCKS = sorted((DOCKER / "locks").glob("*.txt"))


def pins(lock: str) -> set[tuple[str, str]]:
    """(package, version) of a lock."""
    text = (DOCKER / "locks" / f"{lock}.txt").read_text()
    return set(re.findall(r"^([\w.-]+)==([^\s;]+)", text, re.MULTILINE))


def test_there_are_dockerfiles_and_locks() -> None:
    assert [path.stem for path in DOCKERFILES] == ["efa", "serve-cpu", "serve", "torch", "train"]
    assert [path.stem for path in LOCKS] == "build dev sdk sdk2 serve-cpu serve torch train".split()


def test_the_base_image_has_the_cuda_of_torch() -> None:
    versions = (DOCKER / "versions.env").read_text()
    tag = re.search(r"^BASE_IMAGE=nvidia/cuda:(\d+\.\d+)\.\d+-base-ubuntu24\.04$", versions, re.M)
    toolkit = dict(pins("torch"))["cuda-toolkit"]
    assert tag is not None
    assert toolkit.startswith(f"{tag[1]}.")


@pytest.mark.parametrize("image", ["train", "serve"])
def test_an_image_keeps_the_versions_of_the_torch_layer(image: str) -> None:
    assert pins("torch") <= pins(image)


@pytest.mark.parametrize("image", ["train", "serve", "serve-cpu", "torch"])
def test_the_tests_run_on_the_versions_of_the_images(image: str) -> None:
    assert pins(image) <= pins("dev")


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.stem)
def test_every_requirement_of_a_lock_has_a_hash_and_no_address(lock: Path) -> None:
    requirements = lock.read_text().replace("\\\n", "").splitlines()
    locked = [line for line in requirements if line and not line.lstrip().startswith("#")]
    assert locked
    assert [line for line in locked if "--hash=sha256:" not in line] == []
    assert "://" not in lock.read_text()


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=lambda path: path.stem)
def test_dockerfiles_contain_no_versions_and_no_frontend(dockerfile: Path) -> None:
    text = dockerfile.read_text()
    assert re.findall(r"^ARG .*=.*$", text, re.MULTILINE) == []
    assert re.findall(r"^# *syntax", text, re.MULTILINE | re.IGNORECASE) == []
    bases = re.findall(r"^FROM (\S+)", text, re.MULTILINE)
    assert bases
    assert set(bases) <= {"${BASE_IMAGE}", "${TORCH_IMAGE}", "${FLOOR_IMAGE}", "${TRAIN_IMAGE}"}


def test_the_small_image_has_no_torch_no_compiler_and_no_pip() -> None:
    names = {name for name, _ in pins("serve-cpu")}
    assert "openvino" in names
    assert [one for one in names if re.match("torch|nvidia|cuda|triton|pip$|scipy|boto", one)] == []


@pytest.mark.parametrize("image", ["train", "serve", "serve-cpu", "torch"])
def test_only_training_has_pip_and_none_has_triton(image: str) -> None:
    """pip installs the requirements.txt of a user's script; triton needs a compiler."""
    names = {name for name, _ in pins(image)}
    assert "triton" not in names
    assert ("pip" in names) == (image == "train")


@pytest.mark.parametrize("lock", [path.stem for path in LOCKS])
def test_no_lock_has_telemetry_of_openvino(lock: str) -> None:
    """It calls its makers, and its thread stops the fork of the server's workers."""
    assert "openvino-telemetry" not in {name for name, _ in pins(lock)}


def test_files_named_in_comments_exist() -> None:
    for path in [*DOCKERFILES, DOCKER / "versions.env", *DOCKER.glob("*.sh"), *DOCKER.glob("*.py")]:
        for named in re.findall(
            r"(?<![\w./:-])(?:docker|tests|docs)/[\w./-]+\.\w+", path.read_text()
        ):
            assert (DOCKER.parent / named).exists(), f"{path.name} names {named}"


@pytest.mark.slow
def test_the_locked_classes_are_those_that_java_loads(tmp_path: Path) -> None:
    """A start on a busy machine loads about twenty others, so the list is locked."""
    now = tmp_path / "now"
    command = [sys.executable, str(DOCKER / "java_archive.py"), str(now), "--lock"]
    subprocess.run(command, check=True, capture_output=True)
    locked = (DOCKER / "locks" / "java.classes").read_text().splitlines()
    assert locked == sorted(set(locked))
    assert len(set(now.read_text().splitlines()) ^ set(locked)) < 60
