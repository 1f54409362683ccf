"""The process engine: an image's command as processes on this machine, below a keeper.

/opt/ml is the folder in SAGEMAKER_BASE_DIR. Nothing else of an image is here: no file system of its
own, no limits of memory or processors, and read-only channels are copies.
"""

import contextlib
import itertools
import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from emulator.engines import init
from emulator.engines.container import OPT_ML, Network, Plan
from emulator.errors import JobError
from emulator.settings import HOST, Settings

_PORTS = range(21_000, 32_000)


class ProcessEngine:
    """Starts keepers; see `container.Engine`."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        # Training on several hosts listens on fixed ports, which hosts on one machine share.
        self._several = threading.Lock()
        self._first: dict[str, int] = {}
        self._numbers = itertools.count(1)

    @contextlib.contextmanager
    def network(self, name: str, count: int, *, isolated: bool) -> Iterator[Network]:
        """Name the hosts: `algo-1` where this user may have namespaces, addresses elsewhere."""
        private = _namespaces_work()
        if isolated and not private:
            raise JobError(
                "InternalServerError: the emulator's process engine needs root, or user "
                "namespaces, for EnableNetworkIsolation: use --engine docker"
            )
        names = tuple(f"algo-{number}" for number in range(1, count + 1))
        if count == 1:
            yield Network(name, names, {}, isolated)
            return
        with contextlib.nullcontext() if isolated else self._several:
            block = next(self._numbers) % 250 + 1
            addresses = [f"127.77.{block}.{number}" for number in range(1, count + 1)]
            if private:
                yield Network(name, names, dict(zip(names, addresses, strict=True)), isolated)
            else:
                yield Network(name, tuple(addresses), {}, isolated)
        self._first.pop(name, None)

    def start(self, plan: Plan) -> "Process":
        """Start a keeper with the plan's command below it."""
        for mount in plan.mounts:
            link = plan.root / mount.inside
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(mount.source)
        image = self._settings.image(plan.image)
        command = [*plan.entrypoint] or image.command(plan.verb)
        serving = plan.verb == "serve"
        private = plan.network.isolated or (serving and _namespaces_work())
        port = _free_port() if serving else 0
        env = self._settings.inherited() | dict(plan.env)
        env["SAGEMAKER_BASE_DIR"] = str(plan.root)
        if serving:
            env["SAGEMAKER_BIND_TO_PORT"] = "8080" if private else str(port)
        said = {
            "command": [*command, *plan.arguments],
            "isolated": private,
            "port": port if private else 0,
            "join": self._first.get(plan.network.name) if plan.network.isolated else None,
            "hostname": plan.host,
            "hosts": plan.network.addresses,
            "hosts_file": str(plan.root.with_name(f"{plan.root.name}.hosts")),
        }
        process = Process(said, plan.root, env, port)
        if len(plan.network.hosts) > 1:
            self._first.setdefault(plan.network.name, process.pid)
        return process

    def seen(self, root: Path, path: str) -> str:
        """Return the folder on this machine; only what is below /opt/ml has one."""
        if path != OPT_ML and not path.startswith(f"{OPT_ML}/"):
            raise JobError(
                f"InternalServerError: the emulator's process engine has no {path}, only what is "
                f"below {OPT_ML}: use --engine docker"
            )
        return str(root) + path.removeprefix(OPT_ML)


class Process:
    """A running keeper; see `container.Container`."""

    def __init__(
        self, said: dict[str, object], folder: Path, env: dict[str, str], port: int
    ) -> None:
        self.port = port
        self._keeper = subprocess.Popen(
            [sys.executable, init.__file__, json.dumps(said)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=folder,
            env=env,
            start_new_session=True,
        )

    @property
    def pid(self) -> int:
        """The keeper's process number."""
        return self._keeper.pid

    def lines(self) -> Iterator[str]:
        """Give the output; what is not UTF-8 is replaced."""
        assert self._keeper.stdout
        with contextlib.suppress(ValueError):  # closed by remove()
            for line in self._keeper.stdout:
                yield line.decode(errors="replace").rstrip("\r\n")

    def poll(self) -> int | None:
        """Return the command's exit code."""
        return self._keeper.poll()

    def terminate(self) -> None:
        """Send SIGTERM to the command, through the keeper."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGTERM)

    def kill(self) -> None:
        """Close the keeper's input, at which it kills everything below it, and ends."""
        assert self._keeper.stdin
        self._keeper.stdin.close()
        self._keeper.wait()

    def remove(self) -> None:
        """Kill; the folder stays for the engineer to look at."""
        self.kill()


@cache
def _namespaces_work() -> bool:
    """Whether this user may leave the network and have a hosts file of their own."""
    trial = (
        "import pathlib, tempfile; from emulator.engines import namespaces as n; n.own_network(); "
        "d = tempfile.TemporaryDirectory(); "
        "n.own_names('trial', {'trial': '127.77.0.1'}, pathlib.Path(d.name) / 'hosts')"
    )
    done = subprocess.run(
        [sys.executable, "-c", trial],
        cwd=Path(__file__).parents[2],
        stdin=subprocess.DEVNULL,
        capture_output=True,
    )
    return done.returncode == 0


def _free_port() -> int:
    """Below those that the kernel gives to clients, which might take it before the server does."""
    for port in random.sample(_PORTS, 100):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind((HOST, port))
            return port
    raise JobError("InternalServerError: no free port on loopback for the endpoint's container")
