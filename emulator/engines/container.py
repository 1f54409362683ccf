"""What runs a container: the words that both engines, processes and docker, have in common."""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

OPT_ML = "/opt/ml"


@dataclass(frozen=True)
class Mount:
    """A folder that appears below /opt/ml. `inside` is relative to it."""

    source: Path
    inside: str
    read_only: bool = False


@dataclass(frozen=True)
class Network:
    """What the hosts of one job share. `hosts` are their names, as their config files give them."""

    name: str
    hosts: tuple[str, ...]
    addresses: Mapping[str, str] = field(default_factory=dict)
    isolated: bool = False
    interface: str = "lo"


@dataclass(frozen=True)
class Plan:
    """One container to be started.

    `root` becomes its /opt/ml; `name` is unique on this machine; `host` is one of the network's.
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
    """One that was started."""

    @property
    def port(self) -> int:
        """The port on loopback that leads to its 8080; 0 for training."""

    def lines(self) -> Iterator[str]:
        """Give its output, line by line, until it has ended."""

    def poll(self) -> int | None:
        """Return its exit code, or None while it runs."""

    def terminate(self) -> None:
        """Send SIGTERM to its process 1."""

    def kill(self) -> None:
        """Kill it and everything in it."""

    def remove(self) -> None:
        """Kill it if need be, and forget it."""


class Engine(Protocol):
    """Starts containers."""

    def network(self, name: str, count: int, *, isolated: bool) -> AbstractContextManager[Network]:
        """Give a network for `count` hosts for as long as the block lasts.

        Raises:
            JobError: this engine cannot isolate on this machine.
        """

    def start(self, plan: Plan) -> Container:
        """Start a container.

        Raises:
            JobError: it cannot be started.
        """

    def seen(self, root: Path, path: str) -> str:
        """Return where a process in the container finds `path`, which is below /opt/ml."""
