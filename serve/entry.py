"""What the image's `serve` runs: nginx and the model server, watched over until SIGTERM.

`python -m serve.entry` ends with 0 after a drained stop, 1 when a part fails for good or the bundle
is refused, 2 for settings that cannot be used; the last line says why.
"""

import logging
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from serve import user_code
from serve.front import health, metrics, nginx, privileges, processes
from serve.front.model_server import (
    REPORTS,
    ModelServer,
    ModelServerError,
    Spawner,
    free_port,
    java,
)
from serve.front.workers import Workers, WorkersError
from serve.settings import Settings, SettingsError

log = logging.getLogger("kennel")

_TICK_S = 0.1
_DRAIN_TICK_S = 0.02
# How often the workers are looked at, whose limits are seconds: it takes a core's milliseconds.
_LOOK_S = 0.5
# Java that has not answered for so long is stuck; it is asked every second.
_MODEL_SERVER_SILENT_S = 5.0
# More restarts of nginx than this are no mishap.
_MOST_RESTARTS = 5


class ServeError(Exception):
    """The server cannot go on; the message says why."""


class Server:
    """All parts of one server, from start to end.

    Args:
        settings: as read from the environment.
        run_dir: an empty directory for everything that is written at run time.
        stop: set when the server is to drain and end.
    """

    def __init__(self, settings: Settings, run_dir: Path, stop: threading.Event) -> None:
        self._settings = settings
        self._run_dir = run_dir
        self._stop = stop
        self._reports = run_dir / REPORTS
        # The process that Java started for its workers, and when it started.
        self._launcher: tuple[int, int | None] | None = None
        self._renewed: set[tuple[int, int | None]] = set()  # those that died
        self._workers = Workers(self._reports, settings)
        self._served = False
        self._answered_at = 0.0  # when Java last did
        self._restarts = 0
        self._front: nginx.Front
        self._model_server: ModelServer

    def run(self) -> None:
        """Serve until `stop` is set.

        Raises:
            ServeError, ModelServerError, WorkersError, nginx.FrontError: with the reason.
        """
        self._reports.mkdir()
        (self._run_dir / "tmp").mkdir()
        port = self._settings.model_server_port or free_port()
        needed = [*self._settings.model_dir.glob("*"), Path(sys.executable), Path(__file__), java()]
        # In multi-model mode the bundles come later, readable for whom nobody knows yet.
        user = None if self._settings.multi_model else privileges.user_for_parts(needed)
        socket = self._run_dir / nginx.HEALTH_SOCKET
        with health.HealthServer(socket, self._verdict, self._metrics):
            privileges.give(self._run_dir, user)
            try:
                spawner = Spawner(self._run_dir, user)
                # nginx before Java: /ping says no before it says yes.
                self._front = nginx.Front(self._settings, self._run_dir, port, user)
                self._model_server = ModelServer(self._settings, self._run_dir, port, user)
                self._load(spawner)
                self._watch()
                log.info("stopping: waiting for accepted requests")
                self._drain()
            finally:
                processes.end_all()

    def _verdict(self) -> str | None:
        """Return why the server cannot answer now, or None. The health thread calls this."""
        if self._stop.is_set():
            return "the server is stopping"
        # While the model is registered again, the workers of before are of no use.
        if any((one.parent, one.parent_born) in self._renewed for one in self._workers.well()):
            return "the workers' script died; another is being started"
        if self._served and health.started(self._model_server.process.pid) is None:
            return "the model server (Java) died"
        if self._served and time.monotonic() - self._answered_at > _MODEL_SERVER_SILENT_S:
            return "the model server (Java) is stuck"
        if self._workers.well():
            return None
        if self._workers.alive():
            return "the worker is stuck; another will be started"
        return "the worker died; another is being started" if self._served else "loading the model"

    def _metrics(self) -> str:
        return metrics.prometheus(self._workers.snapshot(healthy=self._verdict() is None))

    def _load(self, spawner: Spawner) -> None:
        """Start the workers and wait until one has replayed the golden inputs."""
        for waited in self._ticks():
            # Java does not answer before its script runs: it would wait for torch.
            if spawner.done() and self._model_server.listens():
                self._model_server.register()
                break
            if waited > self._settings.timeout_s:
                raise ServeError(f"nothing could be loaded within {self._settings.timeout_s} s")
        for waited in self._ticks():
            if self._verdict() is None:
                self._answered_at = time.monotonic()
                self._served = True
                threading.Thread(target=self._ask_model_server, daemon=True).start()
                log.info("ready on port %d after %.1f s", self._settings.port, waited)
                return
            self._workers.tend()
            if waited > self._settings.timeout_s:
                raise ServeError(f"no worker was ready within {self._settings.timeout_s} s")

    def _watch(self) -> None:
        """Keep the server whole until it is told to stop."""
        healthy_at = 0.0
        told = self._workers.snapshot(healthy=True)
        told_at = 0.0
        looked_at = 0.0
        for now in self._ticks():
            self._renew_launcher()
            if now - looked_at < _LOOK_S:
                continue
            looked_at = now
            if self._verdict() is None:
                healthy_at = now
            elif now - healthy_at > self._settings.recovery_s:
                raise ServeError(f"no live worker for {self._settings.recovery_s} s")
            self._workers.tend()
            if self._settings.emf_s and now - told_at > self._settings.emf_s:
                snapshot = self._workers.snapshot(healthy=healthy_at == now)
                print(metrics.embedded(told, snapshot), flush=True)
                told, told_at = snapshot, now

    def _ask_model_server(self) -> None:
        while True:
            if self._model_server.answers():
                self._answered_at = time.monotonic()
            time.sleep(1)

    def _renew_launcher(self) -> None:
        """Have MMS start anew when the process died that it started for workers: it never would."""
        for one in health.reports(self._reports):  # of the dead too: both may die between two ticks
            if (one.parent, one.parent_born) not in self._renewed:
                self._launcher = (one.parent, one.parent_born)
        if self._launcher and health.started(self._launcher[0]) != self._launcher[1]:
            log.warning("the workers' script died: registering the model again")
            self._renewed.add(self._launcher)
            # What waits in MMS when the model goes is never answered; the workers are still there.
            answered = bool(self._workers.well())
            if answered:
                self._drain()
            self._workers.end_those_of(self._launcher)
            self._launcher = None
            self._model_server.unregister()
            self._model_server.register()
            if answered:
                self._front.restart()

    def _drain(self) -> None:
        """Take no new request, and let the accepted ones be answered."""
        self._front.refuse_new()
        deadline = time.monotonic() + self._settings.drain_s
        while self._front.process.poll() is None:
            if time.monotonic() > deadline:
                raise ServeError(
                    f"requests were unanswered {self._settings.drain_s} s after the last was taken"
                )
            time.sleep(_DRAIN_TICK_S)

    def _ticks(self) -> Iterator[float]:
        """Yield the seconds passed, every tick in which all parts are well, until told to stop."""
        begun = time.monotonic()
        while not self._stop.wait(_TICK_S):
            self._check_parts()
            yield time.monotonic() - begun

    def _check_parts(self) -> None:
        for one in health.reports(self._reports):
            if one.refusal is not None:
                reason = " ".join(one.refusal.split())  # in one line
                raise ServeError(f"the bundle is refused: {reason}")
        ended = self._model_server.process.poll()
        if ended is not None:
            raise ServeError(f"the model server (Java) {processes.how_it_ended(ended)}")
        ended = self._front.process.poll()
        if ended is not None:
            how = f"nginx {processes.how_it_ended(ended)}"
            self._restarts += 1
            # A signal is a mishap; an exit of its own is a reason, which nginx has just logged.
            if ended >= 0 or self._restarts > _MOST_RESTARTS:
                raise ServeError(how)
            log.warning("%s: starting it again", how)
            self._front.restart()
        processes.reap_orphans({self._front.process.pid, self._model_server.process.pid})


def main() -> int:
    """Serve, and return the exit status."""
    logging.basicConfig(format="%(asctime)s %(levelname)-5s kennel: %(message)s", level="INFO")
    try:
        settings = Settings.from_environment()
        if settings.code:
            user_code.check(settings.code, settings.model_dir)
    except (SettingsError, user_code.CodeError) as error:
        log.error("these settings cannot be used:\n%s", error)
        return 2
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    try:
        processes.adopt_orphans()
        with tempfile.TemporaryDirectory(prefix="kennel-", dir=settings.run_dir) as run_dir:
            Server(settings, Path(run_dir), stop).run()
    except (ServeError, ModelServerError, WorkersError, nginx.FrontError) as error:
        log.error("%s", error)
        return 1
    except OSError as error:
        log.error("a file of the server's own: %s: make room, or set KENNEL_RUN_DIR", error)
        return 1
    log.info("stopped")
    return 0


if __name__ == "__main__":
    sys.exit(main())
