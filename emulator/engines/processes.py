"""The process engine: runs an image's command on this machine, as a child of `init`.

/opt/ml is the job's folder, in a mount namespace; where the machine does not allow that, it is the
folder in SAGEMAKER_BASE_DIR. There is no other file system of its own and no limit on memory or
processors; read-only channels are copies.
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

from emulator.engines import init, namespaces
from emulator.engines.container import OPT_ML, Network, Plan, lines_of
from emulator.errors import JobError
from emulator.settings import HOST, Settings

_PORTS = range(21_000, 32_000)


class ProcessEngine:
    """Starts `init` processes; see `container.Engine`."""

    reaches_us = True

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        # Training on several hosts uses fixed ports, so only one such job runs at a time.
        self._several_hosts = threading.Lock()
        self._first_host: dict[str, int] = {}  # network -> PID of its first init
        self._numbers = itertools.count(1)

    @contextlib.contextmanager
    def network(self, name: str, count: int, *, isolated: bool) -> Iterator[Network]:
        """Name the hosts: `algo-1`… if namespaces work on this machine, else by address."""
        private = _namespaces_work()
        if isolated and not private:
            raise JobError(
                "InternalServerError: the process engine needs root or user namespaces for "
                "EnableNetworkIsolation: use --engine docker"
            )
        names = tuple(f"algo-{number}" for number in range(1, count + 1))
        if count == 1:  # toolkits wait until the host's name resolves
            addresses = {names[0]: HOST} if private else {}
            yield Network(name, names, addresses, isolated)
            return
        with contextlib.nullcontext() if isolated else self._several_hosts:
            block = next(self._numbers) % 250 + 1
            ours = [f"127.77.{block}.{number}" for number in range(1, count + 1)]
            if private:
                yield Network(name, names, dict(zip(names, ours, strict=True)), isolated)
            else:
                yield Network(name, tuple(ours), {}, isolated)
        self._first_host.pop(name, None)

    def start(self, plan: Plan) -> "Process":
        """Start `init` with the plan's command."""
        for mount in plan.mounts:
            link = plan.root / mount.inside
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(mount.source)
        image = self._settings.image(plan.image)
        command = [*plan.entrypoint] or image.command(plan.verb)
        serving = plan.verb == "serve"
        private = plan.network.isolated or (serving and _namespaces_work())
        port = _free_port() if serving else 0
        words = [*command, *plan.arguments]
        bound = _mounts_work()
        if not bound and any(OPT_ML in word for word in words):
            raise JobError(
                f"InternalServerError: the process engine needs root or user namespaces to have "
                f"{OPT_ML}, which the command names: {words}: use --engine docker"
            )
        env = self._settings.inherited() | dict(plan.env)
        env["SAGEMAKER_BASE_DIR"] = OPT_ML if bound else str(plan.root)
        if serving:
            env["SAGEMAKER_BIND_TO_PORT"] = "8080" if private else str(port)
        init_plan = {
            "command": words,
            "env": env,
            "opt_ml": str(plan.root) if bound else "",
            "isolated": private,
            "port": port if private else 0,
            "join": self._first_host.get(plan.network.name) if plan.network.isolated else None,
            "hostname": plan.host,
            "hosts": plan.network.addresses,
            "hosts_file": str(plan.root.with_name(f"{plan.root.name}.hosts")),
        }
        process = Process(init_plan, plan.root, self._settings.inherited(), port)
        if len(plan.network.hosts) > 1:
            self._first_host.setdefault(plan.network.name, process.pid)
        return process

    def container_path(self, root: Path, path: str) -> str:
        """Return the path on this machine; only /opt/ml has one."""
        if path != OPT_ML and not path.startswith(f"{OPT_ML}/"):
            raise JobError(
                f"InternalServerError: the process engine has only {OPT_ML}, not {path}: "
                "use --engine docker"
            )
        return path if _mounts_work() else str(root) + path.removeprefix(OPT_ML)


class Process:
    """A running `init`; see `container.Container`."""

    def __init__(
        self, plan: dict[str, object], folder: Path, env: dict[str, str], port: int
    ) -> None:
        self.port = port
        self._init = subprocess.Popen(
            [sys.executable, init.__file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=folder,
            env=env,
            start_new_session=True,
        )
        assert self._init.stdin
        with contextlib.suppress(BrokenPipeError):  # it has ended: poll() says so
            self._init.stdin.write(json.dumps(plan).encode() + b"\n")
            self._init.stdin.flush()

    @property
    def pid(self) -> int:
        """The PID of `init`."""
        return self._init.pid

    def lines(self) -> Iterator[str]:
        """Yield the output line by line; bytes that are not UTF-8 are replaced."""
        assert self._init.stdout
        with contextlib.suppress(ValueError):  # closed by remove()
            yield from lines_of(self._init.stdout)

    def poll(self) -> int | None:
        """Return the command's exit code, or None while it runs."""
        return self._init.poll()

    def terminate(self) -> None:
        """Send SIGTERM to `init`, which forwards it to the command."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGTERM)

    def kill(self) -> None:
        """Close the stdin of `init`: it kills all descendants and exits."""
        assert self._init.stdin
        self._init.stdin.close()
        self._init.wait()

    def remove(self) -> None:
        """Kill it. Its folder remains."""
        self.kill()


def _namespaces_work() -> bool:
    """Whether this machine allows private networks and hosts files."""
    return _allowed("network")


def _mounts_work() -> bool:
    """Whether this machine allows a private /opt/ml."""
    return _allowed("folder")


@cache
def _allowed(what: str) -> bool:
    done = subprocess.run(
        [sys.executable, "-m", namespaces.__name__, what],
        cwd=Path(__file__).parents[2],
        stdin=subprocess.DEVNULL,
        capture_output=True,
    )
    return done.returncode == 0


def _free_port() -> int:
    """Return a free port below the range that the kernel gives to clients."""
    for port in random.sample(_PORTS, 100):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind((HOST, port))
            return port
    raise JobError("InternalServerError: no free port on loopback for the endpoint's container")
