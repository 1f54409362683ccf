"""Containers on a real Docker engine, with the folders that SageMaker mounts."""

import json
import subprocess
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.opt_ml import OptMl

Completed = subprocess.CompletedProcess[str]


@dataclass(frozen=True)
class Images:
    """The docker client, and the images built for this session."""

    docker: str
    base: str
    train: str
    serve: str
    serve_cpu: str
    torch: str

    def run(self, *arguments: str, timeout: float = 400) -> Completed:
        """`docker run --rm`, until it ends."""
        with self._named() as name:
            try:
                return self.call("run", "--rm", "--name", name, *arguments, timeout=timeout)
            except subprocess.TimeoutExpired as late:
                pytest.fail(f"still running after {timeout} s: {(late.stdout or b'')[-3000:]!r}")

    def call(self, *arguments: str, timeout: float = 120) -> Completed:
        return subprocess.run(
            [self.docker, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout,
            check=False,
        )

    @contextmanager
    def container(self, *arguments: str) -> "Iterator[Container]":
        """`docker run --detach`."""
        with self._named() as name:
            started = self.call("run", "--detach", "--name", name, *arguments)
            assert started.returncode == 0, started.stdout
            yield Container(self, name)

    @contextmanager
    def network(self) -> Iterator[str]:
        """A new network, in which containers find each other by name."""
        name = f"kennel-test-{uuid.uuid4().hex[:12]}"
        made = self.call("network", "create", name)
        assert made.returncode == 0, made.stdout
        try:
            yield name
        finally:
            self.call("network", "rm", "--force", name)

    @contextmanager
    def _named(self) -> Iterator[str]:
        """A new name for a container, which is removed afterwards."""
        name = f"kennel-test-{uuid.uuid4().hex[:12]}"
        try:
            yield name
        finally:
            # Even if it never started, or its client was killed.
            self.call("rm", "--force", name)


@dataclass(frozen=True)
class Container:
    """A running container."""

    images: Images
    name: str

    @property
    def log(self) -> str:
        return self.images.call("logs", self.name).stdout

    @property
    def exit_code(self) -> int | None:
        """Its exit status, or None while it runs."""
        state = json.loads(self.images.call("inspect", self.name).stdout)[0]["State"]
        return None if state["Running"] else int(state["ExitCode"])

    def wait_for(self, condition: Callable[[], bool], seconds: float) -> None:
        """Wait until `condition` holds; fail with the log on a timeout or if it ended."""
        end = time.monotonic() + seconds
        while not condition():
            assert self.exit_code is None, f"ended with {self.exit_code}:\n{self.log}"
            assert time.monotonic() < end, f"waited {seconds} s:\n{self.log}"
            time.sleep(0.5)

    def python(self, code: str, *arguments: str) -> Completed:
        """Run Python code in the container, as root."""
        return self.images.call("exec", self.name, "/opt/venv/bin/python", "-c", code, *arguments)

    def stop(self, grace_s: int) -> float:
        """SIGTERM, and SIGKILL after `grace_s`; return the seconds it took."""
        begin = time.monotonic()
        self.images.call("stop", "--time", str(grace_s), self.name)
        return time.monotonic() - begin


@dataclass(frozen=True)
class Endpoint:
    """A serving container's port on loopback."""

    url: str

    def ping(self) -> int:
        try:
            with urllib.request.urlopen(f"{self.url}/ping", timeout=2) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as refusal:
            refusal.close()
            return refusal.code
        except OSError:
            return 0

    def ask(self, method: str, path: str) -> int:
        """Return the status."""
        request = urllib.request.Request(f"{self.url}{path}", method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as refusal:
            refusal.close()
            return refusal.code

    def invoke(self, body: bytes, content_type: str, accept: str = "*/*") -> tuple[int, bytes]:
        request = urllib.request.Request(
            f"{self.url}/invocations", body, {"Content-Type": content_type, "Accept": accept}
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as refusal:
            with refusal:
                return refusal.code, refusal.read()


@contextmanager
def serving(
    images: Images, model: Path, *options: str, which: str = "serve"
) -> Iterator[tuple[Endpoint, Container]]:
    """`docker run … serve` with a bundle and further options, once it is healthy.

    In float32, so that every CPU gives the same answers.
    """
    arguments = ["--publish", "127.0.0.1::8080", "--volume", f"{model}:/opt/ml/model:ro"]
    arguments += ["--env", "KENNEL_PRECISION=fp32", *options]
    with images.container(*arguments, getattr(images, which), "serve") as container:
        address = images.call("port", container.name, "8080").stdout.split()[0]
        endpoint = Endpoint(f"http://{address}")
        # SageMaker allows four minutes.
        container.wait_for(lambda: endpoint.ping() == 200, 240)
        yield endpoint, container


@dataclass(frozen=True)
class Job(OptMl):
    """One training job's folders on this side of the mounts."""

    channels: Mapping[str, Path]
    host: str

    @classmethod
    def prepare(
        cls,
        root: Path,
        channels: Mapping[str, Path],
        hyperparameters: Mapping[str, object],
        *,
        hosts: tuple[str, ...] = ("algo-1",),
        host: str = "algo-1",
    ) -> "Job":
        """Write a job's folders and files, with a container's network interface."""
        OptMl.lay_out(root, channels, hyperparameters, hosts=hosts, host=host, interface="eth0")
        return cls(root, channels, host)

    @property
    def options(self) -> Sequence[str]:
        """Options of `docker run`: subfolders of /opt/ml, and a host name that resolves."""
        places = {self.root / "input" / "config": "input/config:ro"}
        places |= {source: f"input/data/{name}:ro" for name, source in self.channels.items()}
        places |= {self.root / name: name for name in ("model", "output", "checkpoints")}
        volumes = [
            part
            for source, target in places.items()
            for part in ("--volume", f"{source}:/opt/ml/{target}")
        ]
        return ["--hostname", self.host, *volumes]
