"""What the images contain, and what they do not."""

import json
import re
import subprocess
from pathlib import Path

import pytest

from tests.containers.engine import Images

pytestmark = pytest.mark.docker
ROOT = Path(__file__).parents[2]
ALL = pytest.mark.parametrize("which", ["train", "serve", "serve_cpu"])
# The most that an image can have, in GB. What a base has above BASE_GB is added.
BUDGETS = {"train": 5.4, "serve": 4.4, "serve_cpu": 0.6}
BASE_GB = 0.1


def inspect(images: Images, image: str) -> dict[str, object]:
    described: list[dict[str, object]] = json.loads(images.call("image", "inspect", image).stdout)
    return described[0]


def layers(images: Images, image: str) -> list[str]:
    root = inspect(images, image)["RootFS"]
    assert isinstance(root, dict)
    return list(root["Layers"])


def gigabytes(images: Images, image: str) -> float:
    return int(str(inspect(images, image)["Size"])) / 1e9


@ALL
def test_size(images: Images, which: str, capsys: pytest.CaptureFixture[str]) -> None:
    size, base = (gigabytes(images, image) for image in (getattr(images, which), images.base))
    with capsys.disabled():
        print(f"\n{getattr(images, which)}: {size:.2f} GB on {images.base} ({base:.2f} GB)")
    assert size < BUDGETS[which] + max(0, base - BASE_GB)


def test_the_big_images_share_the_layers_of_torch(images: Images) -> None:
    shared = layers(images, images.torch)
    assert layers(images, images.train)[: len(shared)] == shared
    assert layers(images, images.serve)[: len(shared)] == shared


@ALL
def test_labels_name_the_sources(images: Images, which: str) -> None:
    config = inspect(images, getattr(images, which))["Config"]
    assert isinstance(config, dict)
    labels = config["Labels"]
    oci = "org.opencontainers.image"
    revision = labels[f"{oci}.revision"].removesuffix("-dirty")
    # An ancestor of HEAD: somebody can commit while the image is built.
    assert re.fullmatch("[0-9a-f]{40}", revision)
    ancestor = ["git", "merge-base", "--is-ancestor", revision, "HEAD"]
    assert subprocess.run(ancestor, cwd=ROOT, check=False).returncode == 0
    assert labels[f"{oci}.title"] == f"kennel-{which.replace('_', '-')}"
    assert labels[f"{oci}.base.name"] == images.base
    package, label = (
        ("openvino", None) if which == "serve_cpu" else ("torch", "kennel.torch.version")
    )
    code = f"import {package}; print({package}.__version__)"
    found = images.run(getattr(images, which), "python", "-c", code)
    assert found.returncode == 0, found.stdout
    if label:
        assert found.stdout.strip().partition("+")[0] == labels[label]


@ALL
def test_nothing_of_the_build_remains(images: Images, which: str) -> None:
    listed = images.run(
        getattr(images, which),
        "sh",
        "-c",
        "command -v gcc cc ld uv; ls -d /opt/uv /root/.cache /run/secrets/* /dev/kennel /locks; "
        "ls -A /var/lib/apt/lists /var/cache/apt/archives/*.deb /opt/ml/code 2>/dev/null; "
        "find /var/log -type f",
    )
    found = [line for line in listed.stdout.splitlines() if "No such file" not in line]
    assert [line for line in found if line.strip() and not line.endswith(":")] == []


@ALL
def test_any_other_command_runs_unchanged(images: Images, which: str) -> None:
    done = images.run(getattr(images, which), "python", "-c", "import sys; sys.exit(3)")
    assert done.returncode == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "BASE_IMAGE"),
        (["--build-arg", "BASE_IMAGE={base}"], "SOURCE_DATE_EPOCH: pass it as --build-arg"),
    ],
)
def test_a_build_with_a_missing_pin_names_it(
    images: Images, arguments: list[str], message: str
) -> None:
    given = [argument.format(base=images.base) for argument in arguments]
    failed = subprocess.run(
        [images.docker, "build", "--file", "docker/torch.Dockerfile", *given, "."],
        cwd=ROOT,
        env={"DOCKER_BUILDKIT": "1", "PATH": "/usr/bin:/bin", "HOME": "/root"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert failed.returncode != 0
    assert message in failed.stdout
