"""The images, built once a session by `make build`, and a trained job for several tests."""

import os
import shutil
import subprocess
from pathlib import Path
from typing import NoReturn

import pytest

from tests.containers.engine import Images, Job

ROOT = Path(__file__).parents[2]
DEBIAN = "kennel-debian:bookworm"
# A small job: no download, a few seconds on a CPU.
HYPERPARAMETERS: dict[str, object] = {
    "architecture": "resnet18",
    "weights": "none",
    "trainable": "all",
    "epochs": 1,
    "image_size": 32,
    "batch_size": 32,
    "workers": 0,
    "export": "none",
}


def skip_or_fail(reason: str) -> NoReturn:
    """Skip on an engineer's machine; fail in CI, which must have an engine."""
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def docker() -> str:
    """A docker client that reaches an engine and can build."""
    found = subprocess.run(
        ["sh", ROOT / "docker" / "client.sh"], capture_output=True, text=True, check=False
    )
    if found.returncode:
        skip_or_fail(found.stderr.strip())
    return found.stdout.strip()


@pytest.fixture(scope="session")
def base_image(docker: str) -> str:
    """$BASE_IMAGE, else the pinned one, else (no registry can be reached) a Debian."""
    if given := os.environ.get("BASE_IMAGE"):
        return given
    pins = (ROOT / "docker" / "versions.env").read_text().splitlines()
    pinned = next(line.partition("=")[2] for line in pins if line.startswith("BASE_IMAGE="))
    for found in (["image", "inspect", pinned], ["pull", pinned]):
        if subprocess.run([docker, *found], capture_output=True, check=False).returncode == 0:
            return pinned
    if os.geteuid() != 0 or not shutil.which("debootstrap"):
        skip_or_fail(f"{pinned} cannot be pulled, and a Debian base needs root and debootstrap")
    made = subprocess.run(
        [ROOT / "docker" / "debian-base.sh", DEBIAN], capture_output=True, text=True, check=False
    )
    if made.returncode:
        skip_or_fail(f"no base image: {made.stderr[-2000:]}")
    return DEBIAN


@pytest.fixture(scope="session")
def images(docker: str, base_image: str) -> Images:
    """The images, built from this checkout; set TAG if two checkouts share an engine."""
    tag = os.environ.get("TAG", "test")
    built = subprocess.run(
        ["make", "build", f"TAG={tag}", f"BASE_IMAGE={base_image}"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stdout[-6000:]
    names = {
        name: f"kennel-{name.replace('_', '-')}:{tag}"
        for name in ("train", "serve", "serve_cpu", "torch")
    }
    return Images(docker, base_image, **names)


@pytest.fixture(scope="session")
def trained(
    images: Images, few_digits: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Job, str]:
    """A finished job, run by `docker run … train` without a network, and its log.

    Its bundle has model.onnx, which both serving images serve.
    """
    job = Job.prepare(
        tmp_path_factory.mktemp("job"),
        {name: few_digits / name for name in ("train", "valid", "test")},
        HYPERPARAMETERS | {"export": "onnx"},
    )
    done = images.run("--network", "none", *job.options, images.train, "train")
    assert done.returncode == 0, done.stdout
    return job, done.stdout
