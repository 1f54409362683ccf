"""The interface of both engines, docker and process: engines start containers from plans."""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Literal, Protocol

OPT_ML = "/opt/ml"
# CloudWatch's largest event: progress bars can be one line of any length.
_LONGEST_LINE = 256 * 1024 - 26


@dataclass(frozen=True)
class Mount:
    """A folder to mount. `inside` is the path in the container, relative to /opt/ml."""

    source: Path
    inside: str
    read_only: bool = False


@dataclass(frozen=True)
class Network:
    """The network of one job. `hosts` are the host names that its config files list."""

    name: str
    hosts: tuple[str, ...]
    addresses: Mapping[str, str] = field(default_factory=dict)
    isolated: bool = False
    interface: str = "lo"


@dataclass(frozen=True)
class Plan:
    """A container to start.

    `root` becomes its /opt/ml; `name` is unique in the emulator; `host` is one of the network's.
    """

    name: str
    image: str
    verb: Literal["train", "serve"]
    root: Path
    network: Network
    host: str
    env: Mapping[str, str]
    mounts: tuple[Mount, ...] = ()
    entrypoint: tuple[str, ...] = ()
    arguments: tuple[str, ...] = ()


class Container(Protocol):
    """A started container."""

    @property
    def port(self) -> int:
        """The port on 127.0.0.1 that leads to its port 8080; 0 for training."""

    def lines(self) -> Iterator[str]:
        """Yield its output line by line until it ends."""

    def poll(self) -> int | None:
        """Return its exit code, or None while it runs."""

    def terminate(self) -> None:
        """Send SIGTERM to its PID 1."""

    def kill(self) -> None:
        """Kill all its processes."""

    def remove(self) -> None:
        """Kill it if it still runs, then remove it."""


class Engine(Protocol):
    """Starts containers.

    `reaches_us`: whether containers that are not isolated reach the emulator's address.
    """

    reaches_us: bool

    def network(self, name: str, count: int, *, isolated: bool) -> AbstractContextManager[Network]:
        """Provide a network for `count` hosts until the `with` block ends.

        Raises:
            JobError: this engine cannot isolate networks on this machine.
        """

    def start(self, plan: Plan) -> Container:
        """Start a container.

        Raises:
            JobError: it cannot be started.
        """

    def container_path(self, root: Path, path: str) -> str:
        """Return where a process in the container finds `path`, which SageMaker has below /opt/ml.

        Raises:
            JobError: it is elsewhere.
        """


def lines_of(output: IO[bytes]) -> Iterator[str]:
    """Yield a container's output line by line; bytes that are not UTF-8 are replaced.

    A line that is too long for one event in CloudWatch becomes several.
    """
    for line in iter(lambda: output.readline(_LONGEST_LINE), b""):
        yield line.decode(errors="replace").rstrip("\r\n")
