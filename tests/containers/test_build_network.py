"""The company's index and CA reach what a build installs, and leave nothing in the image."""

import subprocess
from pathlib import Path

import pytest

from tests.containers.conftest import ROOT
from tests.containers.engine import Images

pytestmark = pytest.mark.docker
# No such host can be: RFC 2606 keeps `.invalid` for this.
INDEX = "https://user:p$ss'w&rd@index.invalid/simple"


@pytest.mark.parametrize("name", ["UV_DEFAULT_INDEX", "PIP_INDEX_URL"])
def test_either_tools_index_serves_both(images: Images, tmp_path: Path, name: str) -> None:
    quoted = subprocess.run(
        ["bash", "-c", 'printf "%s=%q" "$1" "$2"', "bash", name, INDEX],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    (tmp_path / "index").write_text(quoted)
    shown = images.run(
        *("--volume", f"{tmp_path}/index:/run/secrets/index:ro"),
        *("--volume", f"{ROOT}/docker/install.sh:/install.sh:ro"),
        *("--volume", f"{tmp_path}:/shown", "--entrypoint", "sh", images.torch),
        # apt-get stands in for what is installed: it only has to show what it was given.
        "-c",
        "printf '#!/bin/sh\\nenv\\n' >/usr/local/bin/apt-get; chmod +x /usr/local/bin/apt-get; "
        "sh /install.sh apt nothing",
    )
    assert shown.returncode == 0, shown.stdout
    settings = shown.stdout.splitlines()
    assert f"UV_DEFAULT_INDEX={INDEX}" in settings
    assert f"PIP_INDEX_URL={INDEX}" in settings


def test_a_builds_secrets_are_in_no_image(images: Images) -> None:
    for image in (images.train, images.serve):
        history = images.call("history", "--no-trunc", "--format", "{{.CreatedBy}}", image).stdout
        assert "/install.sh" in history or "/opt/venv" in history
        assert "://" not in history
        found = images.run(image, "sh", "-c", "ls -A /run/secrets; env | grep -i -E 'index|proxy'")
        assert [line for line in found.stdout.splitlines() if "No such file" not in line] == []
