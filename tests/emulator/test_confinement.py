"""A container of the docker engine has few of root's rights."""

import shutil
import subprocess
import tarfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from emulator.engines.container import Plan
from emulator.engines.docker import DockerEngine, answers, docker
from emulator.settings import Settings

pytestmark = pytest.mark.docker
# From linux/capability.h.
CHOWN, DAC_OVERRIDE, FOWNER, KILL, SETGID, SETUID, BIND = 0, 1, 3, 5, 6, 7, 10
ALLOWED = sum(1 << bit for bit in (CHOWN, DAC_OVERRIDE, FOWNER, KILL, SETGID, SETUID, BIND))


@pytest.fixture
def image(tmp_path: Path) -> Iterator[str]:
    """An image with `cat` and its libraries."""
    if not answers():
        pytest.skip("needs a Docker engine")
    program = shutil.which("cat")
    assert program
    listed = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
    files = [program, *(word for word in listed.split() if word.startswith("/"))]
    with tarfile.open(tmp_path / "image.tar", "w") as archive:
        for file in files:
            archive.add(Path(file).resolve(), file)
    name = f"kennel-test-cat:{uuid.uuid4().hex[:12]}"
    docker("import", str(tmp_path / "image.tar"), name)
    yield name
    docker("rmi", name, check=False)


def test_a_container_has_few_rights(image: str, tmp_path: Path) -> None:
    engine = DockerEngine(Settings(state=tmp_path / "state"))
    (tmp_path / "root").mkdir()
    files = ("/proc/1/status", "/sys/fs/cgroup/pids.max", "/sys/fs/cgroup/pids/pids.max")
    with engine.network("confined", 1, isolated=True) as network:
        plan = Plan(
            name="confined",
            image=image,
            verb="train",
            root=tmp_path / "root",
            network=network,
            host="algo-1",
            env={},
            entrypoint=("/usr/bin/cat", *files),
        )
        container = engine.start(plan)
        try:
            lines = list(container.lines())
        finally:
            container.remove()
    status = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
    for name in ("CapBnd", "CapPrm", "CapEff"):
        assert int(status[name], 16) == ALLOWED, name
    assert int(status["CapInh"], 16) & ~ALLOWED == 0
    assert status["NoNewPrivs"] == "1"
    assert "16384" in lines
