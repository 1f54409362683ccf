"""The docker engine: runs images as containers with /opt/ml mounted, as SageMaker does."""

import contextlib
import hashlib
import os
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

from emulator.engines import registry
from emulator.engines.container import OPT_ML, Network, Plan, lines_of
from emulator.errors import JobError
from emulator.settings import HOST, Settings

_LABEL = "kennel.emulator"
_PORT = 8080
# What images need that give up root or own files, and no more: no mounts, devices or raw packets.
_CAPABILITIES = ("CHOWN", "DAC_OVERRIDE", "FOWNER", "KILL", "NET_BIND_SERVICE", "SETGID", "SETUID")
_PROCESSES = 16_384
_CONFINED = (
    "--cap-drop=ALL",
    *(f"--cap-add={name}" for name in _CAPABILITIES),
    "--security-opt=no-new-privileges",
    f"--pids-limit={_PROCESSES}",
)


class DockerEngine:
    """Starts containers, labelled with the state folder; see `container.Engine`."""

    reaches_us = False  # the emulator listens on the machine's loopback only

    def __init__(self, settings: Settings) -> None:
        digest = hashlib.sha256(str(settings.state).encode()).hexdigest()[:12]
        self._region = settings.region
        self._label, self._prefix = f"{_LABEL}={settings.state}", f"kennel-{digest}"

    @contextlib.contextmanager
    def network(self, name: str, count: int, *, isolated: bool) -> Iterator[Network]:
        """Create a network for one job; an isolated one has no route out."""
        hosts = tuple(f"algo-{number}" for number in range(1, count + 1))
        if count == 1 and isolated:
            yield Network("none", hosts, isolated=True, interface="lo")
            return
        title = f"{self._prefix}-{name}"
        flags = ["--internal"] if isolated else []
        docker("network", "create", "--label", self._label, *flags, title)
        try:
            yield Network(title, hosts, isolated=isolated, interface="eth0")
        finally:
            docker("network", "rm", title, check=False)

    def start(self, plan: Plan) -> "DockerContainer":
        """Start a container in the background, with few of root's rights.

        Its memory has no limit: an instance's is that of the machine.
        """
        title = f"{self._prefix}-{plan.name}"
        docker("rm", "--force", title, check=False)
        volumes = [f"{plan.root}:{OPT_ML}"]
        for mount in plan.mounts:
            target = mount.inside if mount.inside.startswith("/") else f"{OPT_ML}/{mount.inside}"
            volumes.append(f"{mount.source}:{target}{':ro' if mount.read_only else ''}")
        words = ["run", "--detach", "--name", title, "--label", self._label, *_CONFINED]
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

    def container_path(self, root: Path, path: str) -> str:  # noqa: ARG002
        """Return the path itself: /opt/ml is mounted in the container."""
        if not path.startswith(f"{OPT_ML}/"):
            raise JobError(f"InternalServerError: the docker engine has only {OPT_ML}, not {path}")
        return path

    def has(self, image: str) -> bool:
        """Return whether the Docker engine has the image."""
        tagged = registry.by_tag(image, self._region)
        return bool(docker("image", "ls", "--quiet", tagged, check=False).strip())

    def sweep(self) -> None:
        """Remove the containers and networks of a killed emulator."""
        containers = docker("ps", "--all", "--quiet", "--filter", f"label={self._label}").split()
        if containers:
            docker("rm", "--force", *containers, check=False)
        networks = docker("network", "ls", "--quiet", "--filter", f"label={self._label}").split()
        if networks:
            docker("network", "rm", *networks, check=False)


class DockerContainer:
    """A running container; see `container.Container`."""

    def __init__(self, title: str, plan: Plan) -> None:
        self._title, self._plan = title, plan
        self._code: int | None = None
        self._poll_lock = threading.Lock()
        self.port = 0
        if plan.verb == "serve":
            with contextlib.suppress(JobError, IndexError):  # it has already ended: see poll()
                self.port = int(docker("port", title, str(_PORT)).split()[0].rpartition(":")[2])
        self._waiter = subprocess.Popen(
            [_docker(), "wait", title],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )

    def lines(self) -> Iterator[str]:
        """Yield the output line by line; bytes that are not UTF-8 are replaced."""
        with subprocess.Popen(
            [_docker(), "logs", "--follow", self._title],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        ) as reader:
            assert reader.stdout
            yield from lines_of(reader.stdout)

    def poll(self) -> int | None:
        """Return the exit code from `docker wait`, or None while it runs."""
        with self._poll_lock:  # the output can be read only once
            if self._code is None and self._waiter.poll() is not None:
                output, _ = self._waiter.communicate()
                self._code = int(output) if output.strip().isdigit() else 137  # it was removed
        return self._code

    def terminate(self) -> None:
        """Send SIGTERM to PID 1."""
        docker("kill", "--signal", "TERM", self._title, check=False)

    def kill(self) -> None:
        """Send SIGKILL."""
        docker("kill", self._title, check=False)
        self._waiter.wait()

    def remove(self) -> None:
        """Remove it, and make the emulator's user the owner of the files that it wrote as root."""
        docker("rm", "--force", self._title, check=False)
        self._waiter.wait()
        if self._waiter.stdout:
            self._waiter.stdout.close()
        if os.geteuid():
            owner = f"{os.geteuid()}:{os.getegid()}"
            volume = f"{self._plan.root}:/files"
            words = ["run", "--rm", "--network", "none", "--volume", volume]
            words += ["--entrypoint", "chown", self._plan.image, "-R", owner, "/files"]
            docker(*words, check=False)


def answers() -> bool:
    """Return whether a Docker client is installed and its engine answers."""
    try:
        return bool(docker("version", "--format", "{{.Server.Version}}", check=False).strip())
    except JobError:
        return False


def _docker() -> str:
    return os.environ.get("DOCKER", "docker")


def docker(*words: str, check: bool = True) -> str:
    """Run the docker client and return its output.

    Raises:
        JobError: it is missing or fails; the text has the last line of its errors.
    """
    try:
        done = subprocess.run(
            [_docker(), *words], capture_output=True, text=True, stdin=subprocess.DEVNULL
        )
    except FileNotFoundError:
        raise JobError("InternalServerError: no docker client on this machine") from None
    if check and done.returncode:
        errors = done.stderr.strip().splitlines() or ["no message"]
        raise JobError(f"InternalServerError: docker {words[0]}: {errors[-1]}")
    return done.stdout
