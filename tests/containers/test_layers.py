"""Equal sources give equal images, and a change of our code is small in a registry."""

import json
import os
import shutil
import subprocess
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.containers.engine import Images
from tests.containers.test_images import inspect, layers
from tests.ports import free_port

pytestmark = pytest.mark.docker
ROOT = Path(__file__).parents[2]
ALL = ("train", "serve", "serve-cpu")
SOURCES = ("docker", "pictures", "classifier", "serve", "train", "debugger", "pyproject.toml")


def build(images: Images, folder: Path, tag: str, name: str = "serve-cpu", **settings: str) -> str:
    """Build an image from a folder of sources, without the cache; return its name."""
    done = subprocess.run(
        [folder / "docker" / "build.sh", name],
        env=os.environ | {"TAG": tag, "BASE_IMAGE": images.base, "NO_CACHE": "1"} | settings,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:]
    return f"kennel-{name}:{tag}"


@pytest.fixture
def tag(images: Images) -> Iterator[str]:
    """A tag of its own, removed afterwards."""
    name = f"test-{uuid.uuid4().hex[:12]}"
    yield name
    for image in (*ALL, "torch"):
        images.call("image", "rm", "--force", f"kennel-{image}:{name}")


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    """A copy of the sources, as another user's checkout has them: other times and modes."""
    copy = tmp_path / "sources"
    copy.mkdir()
    left_out = shutil.ignore_patterns("__pycache__")
    for name in SOURCES:
        if (ROOT / name).is_dir():
            shutil.copytree(
                ROOT / name, copy / name, ignore=left_out, copy_function=shutil.copyfile
            )
        else:
            shutil.copyfile(ROOT / name, copy / name)
    for path in copy.rglob("*"):
        path.chmod(0o775 if path.is_dir() or path.suffix == ".sh" else 0o664)
    return copy


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """Debian's docker-registry on loopback: its address and its folder."""
    program = shutil.which("docker-registry")
    if not program:
        pytest.skip("needs docker-registry (apt-get install docker-registry)")
    address, folder = f"127.0.0.1:{free_port()}", tmp_path / "registry"
    config = {
        "version": 0.1,
        "storage": {"filesystem": {"rootdirectory": str(folder)}},
        "http": {"addr": address},
    }
    (tmp_path / "config.yml").write_text(json.dumps(config))  # JSON is valid YAML
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(
            [program, "serve", str(tmp_path / "config.yml")], stdout=log, stderr=log
        )
    try:
        time.sleep(1)
        yield address, folder
    finally:
        process.terminate()
        process.wait(60)


def stored(folder: Path) -> int:
    """Return the bytes of all blobs that a registry has."""
    return sum(one.stat().st_size for one in folder.rglob("data"))


@pytest.mark.parametrize("name", ALL)
def test_two_builds_of_one_commit_give_one_image(
    images: Images, sources: Path, tag: str, name: str
) -> None:
    first = build(images, ROOT, tag, name)
    number, parts = inspect(images, first)["Id"], layers(images, first)
    assert inspect(images, build(images, ROOT, tag, name))["Id"] == number
    # A checkout's times and modes are in no layer.
    assert layers(images, build(images, sources, tag, name)) == parts


def test_a_code_change_pushes_less_than_a_megabyte_from_any_machine(
    images: Images,
    sources: Path,
    tag: str,
    registry: tuple[str, Path],
    capsys: pytest.CaptureFixture[str],
) -> None:
    address, folder = registry
    floor = label(images, images.serve_cpu)
    for name in (images.serve_cpu, floor):
        push(images, name, f"{address}/{name}")
    before = stored(folder)
    # Another machine: it has no floor and no cache, and takes the floor from the registry.
    images.call("image", "rm", "--force", f"{address}/{floor}", floor)
    with (sources / "serve" / "handler.py").open("a") as file:
        file.write("\n# A change.\n")
    changed = build(images, sources, tag, FLOORS=address)
    assert inspect(images, floor)["RepoDigests"], "the floor was pulled"
    push(images, changed, f"{address}/{changed}")
    pushed = stored(folder) - before
    with capsys.disabled():
        print(f"\na code change pushed {pushed:,} bytes")
    assert 0 < pushed < 1_000_000


def label(images: Images, image: str) -> str:
    config = inspect(images, image)["Config"]
    assert isinstance(config, dict)
    return str(config["Labels"]["kennel.floor"])


def push(images: Images, name: str, remote: str) -> None:
    images.call("tag", name, remote)
    pushed = images.call("push", remote, timeout=400)
    images.call("image", "rm", remote)
    assert pushed.returncode == 0, pushed.stdout
