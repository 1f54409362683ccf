"""The docker engine: an image's containers, with /opt/ml mounted, as SageMaker's hosts run them."""

import contextlib
import hashlib
import os
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

from emulator.engines import registry
from emulator.engines.container import OPT_ML, Network, Plan
from emulator.errors import JobError
from emulator.settings import HOST, Settings

_LABEL = "kennel.emulator"
_PORT = 8080


class DockerEngine:
    """Starts containers, all under a label of the state folder; see `container.Engine`."""

    def __init__(self, settings: Settings) -> None:
        mark = hashlib.sha256(str(settings.state).encode()).hexdigest()[:12]
        self._region = settings.region
        self._label, self._mark = f"{_LABEL}={settings.state}", mark

    @contextlib.contextmanager
    def network(self, name: str, count: int, *, isolated: bool) -> Iterator[Network]:
        """Give a network of the job's own; with no way out, if isolated."""
        hosts = tuple(f"algo-{number}" for number in range(1, count + 1))
        if count == 1 and isolated:
            yield Network("none", hosts, isolated=True, interface="lo")
            return
        title = f"kennel-{self._mark}-{name}"
        way_out = ["--internal"] if isolated else []
        docker("network", "create", "--label", self._label, *way_out, title)
        try:
            yield Network(title, hosts, isolated=isolated, interface="eth0")
        finally:
            docker("network", "rm", title, check=False)

    def start(self, plan: Plan) -> "DockerContainer":
        """Start a container in the background."""
        title = f"kennel-{self._mark}-{plan.name}"
        docker("rm", "--force", title, check=False)
        volumes = [f"{plan.root}:{OPT_ML}"]
        for mount in plan.mounts:
            where = mount.inside if mount.inside.startswith("/") else f"{OPT_ML}/{mount.inside}"
            volumes.append(f"{mount.source}:{where}{':ro' if mount.read_only else ''}")
        words = ["run", "--detach", "--name", title, "--label", self._label]
        words += ["--network", plan.network.name, "--hostname", plan.host, "--shm-size", "1g"]
        if plan.network.name != "none":
            words += ["--network-alias", plan.host]
        if plan.verb == "serve":
            words += ["--publish", f"{HOST}::{_PORT}"]
        for name, value in plan.env.items():
            words += ["--env", f"{name}={value}"]
        for volume in volumes:
            words += ["--volume", volume]
        if plan.entrypoint:
            words += ["--entrypoint", plan.entrypoint[0]]
        command = [*plan.entrypoint[1:]] if plan.entrypoint else [plan.verb]
        if plan.arguments and not plan.entrypoint:
            command = []
        image = registry.by_tag(plan.image, self._region)
        docker(*words, image, *command, *plan.arguments)
        return DockerContainer(title, plan)

    def seen(self, root: Path, path: str) -> str:  # noqa: ARG002
        """Return the path itself: it is mounted where SageMaker mounts it."""
        if not path.startswith(f"{OPT_ML}/"):
            raise JobError(f"InternalServerError: the emulator mounts only below {OPT_ML}: {path}")
        return path

    def has(self, image: str) -> bool:
        """Return whether the image is on this machine."""
        tagged = registry.by_tag(image, self._region)
        return bool(docker("image", "ls", "--quiet", tagged, check=False).strip())

    def sweep(self) -> None:
        """Remove containers and networks that an emulator which was killed has left."""
        left = docker("ps", "--all", "--quiet", "--filter", f"label={self._label}").split()
        if left:
            docker("rm", "--force", *left, check=False)
        networks = docker("network", "ls", "--quiet", "--filter", f"label={self._label}").split()
        if networks:
            docker("network", "rm", *networks, check=False)


class DockerContainer:
    """A running container; see `container.Container`."""

    def __init__(self, title: str, plan: Plan) -> None:
        self._title, self._plan = title, plan
        self._code: int | None = None
        self._asking = threading.Lock()
        self.port = 0
        if plan.verb == "serve":
            with contextlib.suppress(JobError, IndexError):  # it has ended already: poll() tells
                self.port = int(docker("port", title, str(_PORT)).split()[0].rpartition(":")[2])
        self._waiting = subprocess.Popen(
            [_docker(), "wait", title],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )

    def lines(self) -> Iterator[str]:
        """Give the output; what is not UTF-8 is replaced."""
        with subprocess.Popen(
            [_docker(), "logs", "--follow", self._title],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        ) as reader:
            assert reader.stdout
            for line in reader.stdout:
                yield line.decode(errors="replace").rstrip("\r\n")

    def poll(self) -> int | None:
        """Return the exit code, as `docker wait` gives it."""
        with self._asking:  # what was said can be read once
            if self._code is None and self._waiting.poll() is not None:
                said, _ = self._waiting.communicate()
                self._code = int(said) if said.strip().isdigit() else 137  # removed by somebody
        return self._code

    def terminate(self) -> None:
        """Send SIGTERM to process 1."""
        docker("kill", "--signal", "TERM", self._title, check=False)

    def kill(self) -> None:
        """Send SIGKILL."""
        docker("kill", self._title, check=False)
        self._waiting.wait()

    def remove(self) -> None:
        """Remove it, and give what it wrote as root to the user who runs the emulator."""
        docker("rm", "--force", self._title, check=False)
        self._waiting.wait()
        if self._waiting.stdout:
            self._waiting.stdout.close()
        if os.geteuid():
            owner = f"{os.geteuid()}:{os.getegid()}"
            volume = f"{self._plan.root}:/left"
            words = ["run", "--rm", "--network", "none", "--volume", volume]
            words += ["--entrypoint", "chown", self._plan.image, "-R", owner, "/left"]
            docker(*words, check=False)


def answers() -> bool:
    """Return whether there is a client, and an engine answers it."""
    try:
        return bool(docker("version", "--format", "{{.Server.Version}}", check=False).strip())
    except JobError:
        return False


def _docker() -> str:
    return os.environ.get("DOCKER", "docker")


def docker(*words: str, check: bool = True) -> str:
    """Run the docker client and return its output.

    Raises:
        JobError: it is missing, or fails, with its last line.
    """
    try:
        done = subprocess.run(
            [_docker(), *words], capture_output=True, text=True, stdin=subprocess.DEVNULL
        )
    except FileNotFoundError:
        raise JobError("InternalServerError: no docker client on this machine") from None
    if check and done.returncode:
        said = done.stderr.strip().splitlines() or ["no message"]
        raise JobError(f"InternalServerError: docker {words[0]}: {said[-1]}")
    return done.stdout
