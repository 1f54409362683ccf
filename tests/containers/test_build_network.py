"""A build uses the company's package index and CA, and the images contain neither."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.containers.conftest import ROOT
from tests.containers.engine import Images

pytestmark = pytest.mark.docker
# This host cannot exist: RFC 2606 reserves `.invalid`.
INDEX = "https://user:p$ss'w&rd@index.invalid/simple"


@pytest.mark.parametrize("name", ["UV_DEFAULT_INDEX", "PIP_INDEX_URL"])
def test_the_index_of_pip_or_uv_is_used_by_both(images: Images, tmp_path: Path, name: str) -> None:
    quoted = subprocess.run(
        ["bash", "-c", 'printf "%s=%q" "$1" "$2"', "bash", name, INDEX],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    (tmp_path / "index").write_text(quoted)
    printed = images.run(
        *("--volume", f"{tmp_path}/index:/secrets/index:ro"),
        *("--volume", f"{ROOT}/docker/install.sh:/install.sh:ro"),
        *("--volume", f"{tmp_path}:/printed", "--entrypoint", "sh"),
        # A day so late that no file of the image is newer and gets another time.
        *("--env", "SOURCE_DATE_EPOCH=4102444800", images.torch),
        # This apt-get installs nothing: it prints its environment.
        "-c",
        "printf '#!/bin/sh\\nenv\\n' >/usr/local/bin/apt-get; chmod +x /usr/local/bin/apt-get; "
        "sh /install.sh apt nothing",
    )
    assert printed.returncode == 0, printed.stdout
    settings = printed.stdout.splitlines()
    assert f"UV_DEFAULT_INDEX={INDEX}" in settings
    assert f"PIP_INDEX_URL={INDEX}" in settings


def test_no_image_contains_the_secrets_of_the_build(images: Images) -> None:
    for image in (images.train, images.serve, images.serve_cpu):
        history = images.call("history", "--no-trunc", "--format", "{{.CreatedBy}}", image).stdout
        assert "/install.sh" in history or "/opt/venv" in history
        assert "://" not in history
        found = images.run(image, "sh", "-c", "ls -A /run/secrets; env | grep -i -E 'index|proxy'")
        assert [line for line in found.stdout.splitlines() if "No such file" not in line] == []


def test_a_base_that_cannot_be_pulled_has_a_way_out(docker: str) -> None:
    environment = os.environ | {"BASE_IMAGE": "localhost:9/no/base:1"}
    done = subprocess.run(
        [ROOT / "docker" / "build.sh"], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "localhost:9/no/base:1 is not on this machine and cannot be pulled" in done.stderr
    assert (
        "docker/debian-base.sh kennel-base, then BASE_IMAGE=kennel-base make build" in done.stderr
    )
