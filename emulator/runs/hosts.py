"""One attempt at a training job: its hosts' containers, from start until all have ended."""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from emulator.engines.container import Container
from emulator.store.logs import Stream

_TICK_S = 0.05
# When one host has failed the others have this long to end, and say why, by themselves.
_PEERS_S = 5.0


@dataclass(frozen=True)
class Ending:
    """How the containers ended; `code` is the first non-zero exit code, of `root`."""

    code: int = 0
    root: Path | None = None


class Hosts:
    """The running containers of one attempt.

    Args:
        containers: with each host's /opt/ml and log stream.
        read: called with each line of output.
    """

    def __init__(
        self,
        containers: Sequence[tuple[Container, Path, Stream]],
        read: Callable[[str], None],
    ) -> None:
        self._containers = [container for container, _, _ in containers]
        self._roots = [root for _, root, _ in containers]
        self._read = read
        self._pumps = [
            threading.Thread(target=self._pump, args=(container, stream), daemon=True)
            for container, _, stream in containers
        ]
        for pump in self._pumps:
            pump.start()

    def wait(self, seconds: float) -> Ending | None:
        """Wait at most so long for all to end, or for one to fail."""
        deadline = time.monotonic() + seconds
        while True:
            codes = [container.poll() for container in self._containers]
            if any(codes):
                return self._fail()
            if all(code is not None for code in codes):
                self._drain()
                return Ending()
            if time.monotonic() >= deadline:
                return None
            time.sleep(_TICK_S)

    def stop(self, grace: float) -> None:
        """Send SIGTERM, and SIGKILL after `grace` seconds."""
        for container in self._containers:
            container.terminate()
        self._all_ended(grace)
        self.kill()

    def kill(self) -> None:
        """Kill what still runs, and read its last lines."""
        for container in self._containers:
            if container.poll() is None:
                container.kill()
        self._drain()

    def _fail(self) -> Ending:
        self._all_ended(_PEERS_S)
        codes = [container.poll() for container in self._containers]
        self.kill()
        failed = [(code, root) for code, root in zip(codes, self._roots, strict=True) if code]
        # The host that says why is the cause; others may have failed because it went away.
        failed.sort(key=lambda one: not failure_file(one[1]).exists())
        return Ending(*failed[0])

    def _all_ended(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if all(container.poll() is not None for container in self._containers):
                return
            time.sleep(_TICK_S)

    def _pump(self, container: Container, stream: Stream) -> None:
        for line in container.lines():
            self._read(line)
            stream.write(line)

    def _drain(self) -> None:
        for pump in self._pumps:
            pump.join()


def failure_file(root: Path) -> Path:
    """Return where a container says why it failed."""
    return root / "output" / "failure"


def reason(ending: Ending) -> str:
    """Return a FailureReason: the failure file, and the exit code, in at most 1024 characters."""
    assert ending.root
    file = failure_file(ending.root)
    said = file.read_text(errors="replace").strip() if file.is_file() else ""
    said = said or "See job logs for more information"
    tail = f", exit code: {ending.code}"
    return f"AlgorithmError: {said}"[: 1024 - len(tail)] + tail
