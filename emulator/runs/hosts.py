"""The containers of one attempt at a training job, until all of them have ended."""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from emulator.engines.container import Container
from emulator.store.logs import Stream

_POLL_S = 0.05
# After one host has failed, the others have this long to end and write their own reasons.
_PEERS_S = 5.0


@dataclass(frozen=True)
class Ending:
    """How the containers ended: the exit code of a host that failed, and its /opt/ml."""

    code: int = 0
    root: Path | None = None


class Hosts:
    """The running containers of one attempt.

    Args:
        containers: each with its host's /opt/ml and log stream.
        on_line: called with each line of output; returns lines to add to the log.
    """

    def __init__(
        self,
        containers: Sequence[tuple[Container, Path, Stream]],
        on_line: Callable[[str], list[str]],
    ) -> None:
        self._containers = [container for container, _, _ in containers]
        self._roots = [root for _, root, _ in containers]
        self._on_line = on_line
        self._readers = [
            threading.Thread(target=self._read_lines, args=(container, stream), daemon=True)
            for container, _, stream in containers
        ]
        for reader in self._readers:
            reader.start()

    def wait(self, seconds: float) -> Ending | None:
        """Wait until all have ended or one has failed; return None after `seconds`."""
        deadline = time.monotonic() + seconds
        while True:
            codes = [container.poll() for container in self._containers]
            if any(codes):
                return self._fail()
            if all(code is not None for code in codes):
                self._finish_reading()
                return Ending()
            if time.monotonic() >= deadline:
                return None
            time.sleep(_POLL_S)

    def stop(self, grace: float) -> None:
        """Send SIGTERM, and SIGKILL after `grace` seconds."""
        for container in self._containers:
            container.terminate()
        self._wait_all(grace)
        self.kill()

    def kill(self) -> None:
        """Kill the containers that still run, and read the last lines of all."""
        for container in self._containers:
            if container.poll() is None:
                container.kill()
        self._finish_reading()

    def _fail(self) -> Ending:
        self._wait_all(_PEERS_S)
        codes = [container.poll() for container in self._containers]
        self.kill()
        failed = [(code, root) for code, root in zip(codes, self._roots, strict=True) if code]
        # A host that wrote a reason is the cause; others may have failed because it ended.
        failed.sort(key=lambda pair: not failure_file(pair[1]).exists())
        return Ending(*failed[0])

    def _wait_all(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if all(container.poll() is not None for container in self._containers):
                return
            time.sleep(_POLL_S)

    def _read_lines(self, container: Container, stream: Stream) -> None:
        for line in container.lines():
            added = self._on_line(line)
            stream.write(line)
            for more in added:
                stream.write(more)

    def _finish_reading(self) -> None:
        for reader in self._readers:
            reader.join()


def failure_file(root: Path) -> Path:
    """Return the file in which a container writes why it failed."""
    return root / "output" / "failure"


def reason(ending: Ending) -> str:
    """Return FailureReason: the failure file's text and the exit code, at most 1024 characters."""
    assert ending.root
    file = failure_file(ending.root)
    inside = file.resolve().is_relative_to(ending.root.resolve())  # not a link to another file
    text = file.read_text(errors="replace").strip() if file.is_file() and inside else ""
    text = text or "See job logs for more information"
    tail = f", exit code: {ending.code}"
    return f"AlgorithmError: {text}"[: 1024 - len(tail)] + tail
