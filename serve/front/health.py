"""Whether the server can answer, computed at every `/ping`: nothing is cached.

Each worker process reports once: that it replayed the golden inputs, or that it refuses the bundle.
The server is healthy while a process with a good report is alive. nginx passes `/ping` here.
"""

import json
import os
import socketserver
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass
from http.server import BaseHTTPRequestHandler
from pathlib import Path

from serve.errors import RequestError
from serve.front import spawner
from serve.front.files import write_whole

# Set by the supervisor for its workers: the directory of their reports.
DIRECTORY_VARIABLE = "KENNEL_WORKER_REPORTS"


@dataclass(frozen=True)
class Serving:
    """What computes the predictions, and why; the body of `/ping` says it.

    Args:
        engine: `openvino` or `torch`.
        precision: `fp32`, `bf16` or `int8`.
        device: `cpu` or `cuda:0`.
        why: in one line.
    """

    engine: str
    precision: str
    device: str
    why: str


@dataclass(frozen=True)
class WorkerReport:
    """What a worker process reports about itself after loading.

    Args:
        pid: the process.
        start: when it started; a later process can have the same number.
        parent: the process that Java started; without it Java starts no other worker.
        parent_start: when that process started.
        refusal: why it will not serve; None if it will.
        difference: the largest difference from the golden logits.
        serving: what computes; None for models that are not one bundle.
    """

    pid: int
    start: int
    parent: int
    parent_start: int | None
    refusal: str | None = None
    difference: float | None = None
    serving: Serving | None = None

    @property
    def launcher(self) -> tuple[int, int | None]:
        """The process that Java started, and when."""
        return self.parent, self.parent_start

    @property
    def alive(self) -> bool:
        """Whether the process runs and is not a zombie."""
        return start_time(self.pid) == self.start


def start_time(pid: int) -> int | None:
    """Return when a live process started, in clock ticks since boot; None for a zombie or none.

    Source: proc(5), fields 3 and 22 of /proc/PID/stat.
    """
    try:
        # The second field, the name in brackets, can contain anything.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in "ZX" else int(fields[19])


def report(
    directory: Path,
    *,
    refusal: str | None = None,
    difference: float | None = None,
    serving: Serving | None = None,
) -> WorkerReport:
    """Write this process's report into `directory`."""
    pid = os.getpid()
    start = start_time(pid)
    assert start is not None, "this process runs"
    parent = int(os.environ.get(spawner.LAUNCHER_VARIABLE) or os.getppid())
    mine = WorkerReport(pid, start, parent, start_time(parent), refusal, difference, serving)
    write_whole(directory / f"{pid}.json", json.dumps(asdict(mine)))
    return mine


def reports(directory: Path) -> list[WorkerReport]:
    """Return the reports of all workers so far, including dead ones."""
    found = []
    for path in sorted(directory.glob("*.json")):
        try:
            fields = json.loads(path.read_text())
        except FileNotFoundError:  # removed in between
            continue
        serving = Serving(**fields["serving"]) if fields.get("serving") else None
        found.append(WorkerReport(**fields | {"serving": serving}))
    return found


def remove_dead(directory: Path) -> list[int]:
    """Remove the reports of ended processes, except refusals; return the process numbers."""
    dead = [one.pid for one in reports(directory) if one.refusal is None and not one.alive]
    for pid in dead:
        (directory / f"{pid}.json").unlink(missing_ok=True)
    return dead


def announce_start() -> None:
    """Record that this process has started and has not loaded yet."""
    directory = Path(os.environ[DIRECTORY_VARIABLE])
    pid = os.getpid()
    write_whole(directory / f"{pid}.starting", str(start_time(pid)))


def died_loading(directory: Path) -> list[int]:
    """Return the processes that started and ended without a report, each one once."""
    died = []
    for path in directory.glob("*.starting"):
        pid = int(path.stem)
        if (directory / f"{pid}.json").exists():
            path.unlink()
        elif start_time(pid) != int(path.read_text()):
            # It can have written its report between the two checks.
            if not (directory / f"{pid}.json").exists():
                died.append(pid)
            path.unlink()
    return died


class _Socket(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True


class HealthServer:
    """Answers `/ping` and `/metrics` for nginx on a unix socket.

    Args:
        socket: the path to listen on.
        problem: returns None if the server can answer, else the reason why not.
        metrics: returns the text for `/metrics`.
        serving: returns what computes the predictions, if it is known.
    """

    def __init__(
        self,
        socket: Path,
        problem: Callable[[], str | None],
        metrics: Callable[[], str],
        serving: Callable[[], Serving | None] = lambda: None,
    ) -> None:
        class Ping(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                kind = "application/json"
                reason = None if self.path == "/metrics" else problem()
                if self.path == "/metrics":
                    code, body, kind = 200, metrics().encode(), "text/plain; version=0.0.4"
                elif reason is None:
                    known = serving()
                    answer = {"status": "Healthy", **(asdict(known) if known else {})}
                    code, body = 200, json.dumps(answer).encode() + b"\n"
                else:
                    error = RequestError(503, reason, "try again in a few seconds")
                    code, body = 503, error.body(self.headers.get("X-Request-Id", ""))
                self.send_response(code)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if self.command == "GET":
                    self.wfile.write(body)

            do_HEAD = do_GET  # noqa: N815

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                """Log nothing for a ping."""

        socket.unlink(missing_ok=True)
        self._server = _Socket(str(socket), Ping)
        socket.chmod(0o666)  # the directory is private; nginx can run as another user
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.05,), daemon=True
        )

    def __enter__(self) -> "HealthServer":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
