"""Whether the server can answer, asked anew at every `/ping`: nothing is remembered.

Each worker process reports once, when it has replayed the golden inputs or has refused the bundle;
the server is healthy while a process that reported well is alive. nginx passes `/ping` here.
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

# How the supervisor tells its workers where to report.
DIRECTORY_VARIABLE = "KENNEL_WORKER_REPORTS"


@dataclass(frozen=True)
class WorkerReport:
    """What a worker process said about itself when it started.

    Args:
        pid: the process.
        born: when it started, so that a later process with the same number is not taken for it.
        parent: the process that Java started, without which there will be no other worker.
        parent_born: when that one started.
        refusal: why it will not serve; None when it will.
        difference: how far its golden inputs came out from the recorded logits.
    """

    pid: int
    born: int
    parent: int
    parent_born: int | None
    refusal: str | None = None
    difference: float | None = None

    @property
    def alive(self) -> bool:
        """Whether the process is there, and no zombie."""
        return started(self.pid) == self.born


def started(pid: int) -> int | None:
    """Return when a live process started, in clock ticks since boot; None for a zombie or none.

    Source: proc(5), fields 3 and 22 of /proc/PID/stat.
    """
    try:
        # The second field, the name in brackets, may hold anything.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in "ZX" else int(fields[19])


def report(
    directory: Path, *, refusal: str | None = None, difference: float | None = None
) -> WorkerReport:
    """Leave this process's report in `directory`, whole or not at all."""
    pid = os.getpid()
    born = started(pid)
    assert born is not None, "this process runs"
    parent = int(os.environ.get(spawner.LAUNCHER_VARIABLE) or os.getppid())
    mine = WorkerReport(pid, born, parent, started(parent), refusal, difference)
    partial = directory / f".{pid}.partial"
    partial.write_text(json.dumps(asdict(mine)))
    partial.replace(directory / f"{pid}.json")
    return mine


def reports(directory: Path) -> list[WorkerReport]:
    """Return the reports of all workers so far, dead ones too."""
    found = []
    for path in sorted(directory.glob("*.json")):
        try:
            found.append(WorkerReport(**json.loads(path.read_text())))
        except FileNotFoundError:  # forgotten meanwhile
            continue
    return found


def forget_dead(directory: Path) -> list[int]:
    """Remove the reports of processes that are gone and left no refusal; return their numbers."""
    gone = [one.pid for one in reports(directory) if one.refusal is None and not one.alive]
    for pid in gone:
        (directory / f"{pid}.json").unlink(missing_ok=True)
    return gone


def announce() -> None:
    """Say that this process has started and has still to load."""
    directory = Path(os.environ[DIRECTORY_VARIABLE])
    pid = os.getpid()
    partial = directory / f".{pid}.started"
    partial.write_text(str(started(pid)))
    partial.replace(directory / f"{pid}.starting")


def died_loading(directory: Path) -> list[int]:
    """Return the processes that started and ended without a report, each one once."""
    gone = []
    for path in directory.glob("*.starting"):
        pid = int(path.stem)
        if (directory / f"{pid}.json").exists():
            path.unlink()
        elif started(pid) != int(path.read_text()):
            # It may have reported between the two looks.
            if not (directory / f"{pid}.json").exists():
                gone.append(pid)
            path.unlink()
    return gone


class _Socket(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True


class HealthServer:
    """Answers `/ping` for nginx on a unix socket.

    Args:
        socket: where to listen.
        verdict: None when the server can answer, else the reason why not.
        metrics: the text for `/metrics`.
    """

    def __init__(
        self, socket: Path, verdict: Callable[[], str | None], metrics: Callable[[], str]
    ) -> None:
        class Ping(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                kind = "application/json"
                reason = None if self.path == "/metrics" else verdict()
                if self.path == "/metrics":
                    code, body, kind = 200, metrics().encode(), "text/plain; version=0.0.4"
                elif reason is None:
                    code, body = 200, b'{"status": "Healthy"}\n'
                else:
                    error = RequestError(503, reason, "ask again in a few seconds")
                    code, body = 503, error.body(self.headers.get("X-Request-Id", ""))
                self.send_response(code)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if self.command == "GET":
                    self.wfile.write(body)

            do_HEAD = do_GET  # noqa: N815

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                """Write no line for a ping."""

        socket.unlink(missing_ok=True)
        self._server = _Socket(str(socket), Ping)
        socket.chmod(0o666)  # the directory is private; nginx may run as another user
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.05,), daemon=True
        )

    def __enter__(self) -> "HealthServer":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
