"""A real server for the tests: `python -m serve.entry` with nginx, Java and workers."""

import contextlib
import http.client
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import psutil

from tests.ports import free_port

ROOT = Path(__file__).parents[2]
TIMEOUT_S = 120  # when a test fails; no test measures the server by it


T = TypeVar("T")


@dataclass(frozen=True)
class Answer:
    """One HTTP answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Running:
    """A server process, with the requests and the faults that tests send it."""

    process: "subprocess.Popen[bytes]"
    port: int
    log_file: Path
    pings: list[int] = field(default_factory=list)  # statuses during the start, without repetitions
    container_pid: int | None = None  # of a container's first process; `process` is Docker's client

    @property
    def pid(self) -> int:
        """The first process of the server."""
        return self.container_pid or self.process.pid

    @property
    def log(self) -> str:
        return self.log_file.read_text()

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | Iterator[bytes] | None = None,
        headers: dict[str, str] | None = None,
    ) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=TIMEOUT_S)
        with contextlib.closing(connection):
            connection.request(method, path, body, headers or {})
            response = connection.getresponse()
            named = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, named, response.read())

    def classify(
        self,
        body: bytes | Iterator[bytes],
        content_type: str | None = "image/jpeg",
        **more: str,
    ) -> Answer:
        headers = {name.replace("_", "-"): value for name, value in more.items()}
        if content_type is not None:
            headers["Content-Type"] = content_type
        return self.ask("POST", "/invocations", body, headers)

    def wait_for_ping(self, status: int) -> Answer:
        """Ping until the server answers with this status."""

        def ping() -> Answer | None:
            if self.process.poll() is not None:
                raise AssertionError(f"the server ended with {self.process.returncode}: {self.log}")
            with contextlib.suppress(ConnectionError):
                answer = self.ask("GET", "/ping")
                if [answer.status] != self.pings[-1:]:
                    self.pings.append(answer.status)
                return answer if answer.status == status else None
            return None

        return until(ping)

    def wait_for_another(self, worker: psutil.Process) -> list[Answer]:
        """Wait until `worker` has ended and /ping answers 200; return the answers before that.

        There can be none: another worker can be ready before the first ping.
        """
        until(lambda: gone(worker) or None)
        answers: list[Answer] = []

        def healthy() -> bool | None:
            assert self.process.poll() is None, self.log
            with contextlib.suppress(ConnectionError):
                answers.append(self.ask("GET", "/ping"))
                return answers[-1].status == 200 or None
            return None

        until(healthy)
        assert worker.pid not in {part.pid for part in self.parts("worker")}
        return answers[:-1]

    def wait_for_forwarded(self, count: int) -> None:
        """Wait until nginx has forwarded `count` requests, none of them answered yet."""
        family = psutil.Process(self.pid).children(recursive=True)
        (front,) = (part for part in family if "nginx: worker" in " ".join(part.cmdline()))

        def forwarded() -> bool | None:
            open_ones = [
                c for c in front.net_connections("tcp4") if c.raddr and c.raddr.port < 32768
            ]
            inner = {c.raddr.port for c in open_ones if c.laddr.port != self.port}
            return True if len(inner) == 1 and len(open_ones) >= count else None

        until(forwarded)

    def wait_for_end(self) -> int:
        """Wait for the end of the server; return its exit status."""
        return self.process.wait(TIMEOUT_S)

    def parts(self, name: str) -> list[psutil.Process]:
        """Return the live descendants of one kind; `worker` is their parent, then the workers."""
        if name == "worker":
            return self.parts("kennel-parent") + self.parts("kennel-worker")
        kinds = {
            "nginx": "nginx: master",
            "java": "com.amazonaws.ml.mms.ModelServer",
            "launcher": "backend/mms/model_service_worker.py",
        }
        found = []
        for child in psutil.Process(self.pid).children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                seen = " ".join(child.cmdline()) if name in kinds else child.name()
                if kinds.get(name, name) in seen:
                    found.append(child)
        return found

    def kill(self, part: psutil.Process) -> None:
        part.send_signal(signal.SIGKILL)


def gone(process: psutil.Process) -> bool:
    """Return whether a process has ended; a zombie has."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return bool(process.status() == psutil.STATUS_ZOMBIE)
    return True


def until(look: Callable[[], T | None]) -> T:
    """Call `look` until it returns something else than None."""
    deadline = time.monotonic() + TIMEOUT_S
    while time.monotonic() < deadline:
        if (seen := look()) is not None:
            return seen
        time.sleep(0.1)
    raise AssertionError(f"it did not happen within {TIMEOUT_S} s")


@contextlib.contextmanager
def serving(base_dir: Path, **environment: str) -> Iterator[Running]:
    """Start a server of the bundle in `base_dir`/model; kill its remaining processes at the end.

    In float32 on every processor, since the tests compare with logits in float32.
    """
    port = int(environment.setdefault("SAGEMAKER_BIND_TO_PORT", str(free_port())))
    environment.setdefault("SAGEMAKER_MODEL_SERVER_WORKERS", "1")
    environment.setdefault("KENNEL_PRECISION", "fp32")
    # A process that is being killed can still write while the folder is removed.
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as temporary:
        log_file = Path(temporary) / "log"
        with log_file.open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "serve.entry"],
                cwd=temporary,
                env={
                    **{name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ},
                    "PYTHONPATH": str(ROOT),
                    "SAGEMAKER_BASE_DIR": str(base_dir),
                    "TMPDIR": temporary,
                    **environment,
                },
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        try:
            yield Running(process, port, log_file)
        finally:
            if process.poll() is None:
                family = psutil.Process(process.pid)
                family.suspend()  # or it would replace what is killed here
                while children := family.children(recursive=True):
                    for child in children:
                        with contextlib.suppress(psutil.NoSuchProcess):
                            child.kill()
                    if all(gone(child) for child in children):
                        break
                process.kill()
            process.wait()
