"""A server in a container, for benchmarks that otherwise start one as a process."""

import contextlib
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

from classifier.exporting import writing
from scripts import docker
from tests.ports import free_port
from tests.serve.running import Running

_START_S = 60


@contextlib.contextmanager
def contained(image: str, base_dir: Path, **environment: str) -> Iterator[Running]:
    """Run `docker run IMAGE serve` with the bundle in `base_dir`/model; remove it at the end.

    It has the machine's network, so that its ports and sockets are found as those of a process are.
    """
    client, name = docker.client(), f"kennel-measure-{uuid.uuid4().hex[:12]}"
    port = int(environment.setdefault("SAGEMAKER_BIND_TO_PORT", str(free_port())))
    environment.setdefault("SAGEMAKER_MODEL_SERVER_WORKERS", "1")
    settings = [word for key, value in environment.items() for word in ("--env", f"{key}={value}")]
    options = ["--name", name, "--network", "host", *settings]
    options += ["--volume", f"{(base_dir / 'model').resolve()}:/opt/ml/model:ro"]
    with tempfile.TemporaryDirectory() as temporary:
        log_file = Path(temporary) / "log"
        with log_file.open("wb") as log:
            process = subprocess.Popen(
                [client, "run", *options, image, "serve"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        try:
            pid = _first_process(client, name, process, log_file)
            yield Running(process, port, log_file, container_pid=pid)
        finally:
            subprocess.run([client, "rm", "--force", name], capture_output=True, check=False)
            process.wait()


def add_onnx(base_dir: Path) -> None:
    """Add model.onnx to the bundle in `base_dir`/model: the small image serves nothing else."""
    writing.export(base_dir / "model", [], [], int8=False, say=print)


def _first_process(
    client: str, name: str, process: "subprocess.Popen[bytes]", log_file: Path
) -> int:
    """Return the process id, on this machine, of a container's first process."""
    ask = [client, "inspect", "--format", "{{.State.Pid}}", name]
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline and process.poll() is None:
        found = subprocess.run(ask, capture_output=True, text=True, check=False)
        if found.returncode == 0 and int(found.stdout):
            return int(found.stdout)
        time.sleep(0.05)
    raise RuntimeError(f"the container did not start: {log_file.read_text()[-2000:]}")
