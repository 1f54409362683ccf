"""The image's `serve`: starts nginx and the model server, and watches over them until SIGTERM.

`python -m serve.entry` exits with 0 after a stop with all requests answered, 1 when a process fails
for good or the bundle is refused, 2 for invalid settings; the last line of the log says why.
"""

import logging
import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from classifier import unbundled
from pictures.text import printable
from serve import user_code
from serve.front import health, metrics, nginx, privileges, processes, variables
from serve.front.model_server import (
    REPORTS,
    Lane,
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
# How often the workers are checked. Their limits are seconds, and a check takes milliseconds.
_CHECK_S = 0.5
# Java is asked every second; without an answer for this long it is stuck.
_JAVA_SILENT_S = 5.0
# More restarts of nginx than this are not an accident.
_MAX_RESTARTS = 5


class ServeError(Exception):
    """The server cannot go on; the message says why."""


class Server:
    """All processes of one server, from start to end.

    Args:
        settings: as read from the environment.
        run_dir: an empty directory for everything that is written at run time.
        stop: set when the server must answer what it accepted and end.
    """

    def __init__(self, settings: Settings, run_dir: Path, stop: threading.Event) -> None:
        self._settings = settings
        self._run_dir = run_dir
        self._stop = stop
        self._reports = run_dir / REPORTS
        # The process that Java started for its workers, and its start time.
        self._launcher: tuple[int, int | None] | None = None
        self._dead_launchers: set[tuple[int, int | None]] = set()
        self._workers = Workers(self._reports, settings)
        self._was_ready = False
        self._java_answered_at = 0.0
        self._restarts = 0
        self._lane_restarts = 0
        self._nginx: nginx.Nginx
        self._lane: Lane
        self._model_server: ModelServer

    def run(self) -> None:
        """Serve until `stop` is set.

        Raises:
            ServeError, ModelServerError, WorkersError, nginx.NginxError: with the reason.
        """
        self._reports.mkdir()
        (self._run_dir / "tmp").mkdir()
        (self._run_dir / nginx.LANE).mkdir()
        port = self._settings.model_server_port or free_port()
        needed = [*self._settings.model_dir.glob("*"), Path(sys.executable), Path(__file__), java()]
        if self._settings.code:
            folder = user_code.check(self._settings.code, self._settings.model_dir)
            needed += [folder, *folder.glob("*.py")]
        # In multi-model mode the bundles arrive later, and nobody knows who will be able to read
        # them.
        user = None
        if self._settings.multi_model:
            privileges.stay_root_for_many_models()
        else:
            user = privileges.unprivileged_user(needed)
        socket = self._run_dir / nginx.HEALTH_SOCKET
        with health.HealthServer(socket, self._problem, self._metrics, self._serving):
            privileges.change_owner(self._run_dir, user)
            try:
                spawner = Spawner(self._run_dir, user)
                # nginx before Java, so that /ping answers 503 while the server starts.
                self._nginx = nginx.Nginx(self._settings, self._run_dir, port, user)
                self._model_server = ModelServer(self._settings, self._run_dir, port, user)
                self._lane = Lane(self._run_dir, port, user)
                self._load(spawner)
                self._watch()
                log.info("stopping: waiting for accepted requests")
                self._drain()
            finally:
                processes.kill_descendants()
                processes.finish_logs()

    def _problem(self) -> str | None:
        """Return why the server cannot answer now, or None. The health thread calls this."""
        if self._stop.is_set():
            return "the server is stopping"
        healthy = self._workers.healthy()
        # While the model is being registered again, the workers of a dead launcher get no requests.
        if any(one.launcher in self._dead_launchers for one in healthy):
            return "the workers' launcher died; another is starting"
        if self._was_ready and health.start_time(self._model_server.process.pid) is None:
            return "the model server (Java) died"
        if self._was_ready and time.monotonic() - self._java_answered_at > _JAVA_SILENT_S:
            return "the model server (Java) is stuck"
        if healthy:
            return None
        if self._workers.alive():
            return "the worker is stuck; another will be started"
        return "the worker died; another is starting" if self._was_ready else "loading the model"

    def _metrics(self) -> str:
        return metrics.prometheus(self._workers.snapshot(healthy=self._problem() is None))

    def _serving(self) -> health.Serving | None:
        """Return what computes the predictions; all workers choose the same on one machine."""
        return next((one.serving for one in self._workers.healthy() if one.serving), None)

    def _load(self, spawner: Spawner) -> None:
        """Start the workers and wait until one has replayed the golden inputs."""
        for waited in self._ticks():
            # Java answers once its script runs; without the spawner that imports an engine first.
            if spawner.is_settled() and self._model_server.listens():
                self._model_server.register()
                break
            if waited > self._settings.timeout_s:
                raise ServeError(f"the model server did not start in {self._settings.timeout_s} s")
        for waited in self._ticks():
            if self._problem() is None:
                self._java_answered_at = time.monotonic()
                self._was_ready = True
                threading.Thread(target=self._poll_java, daemon=True).start()
                log.info("ready on port %d after %.1f s", self._settings.port, _seconds_alive())
                return
            self._workers.maintain()
            if waited > self._settings.timeout_s:
                raise ServeError(f"no worker was ready within {self._settings.timeout_s} s")

    def _watch(self) -> None:
        """Repair what breaks until `stop` is set."""
        healthy_at = 0.0
        reported = self._workers.snapshot(healthy=True)
        reported_at = 0.0
        checked_at = 0.0
        for now in self._ticks():
            self._replace_launcher()
            if now - checked_at < _CHECK_S:
                continue
            checked_at = now
            if self._problem() is None:
                healthy_at = now
            elif now - healthy_at > self._settings.recovery_s:
                raise ServeError(f"no healthy worker for {self._settings.recovery_s} s")
            self._workers.maintain()
            if self._settings.emf_s and now - reported_at > self._settings.emf_s:
                snapshot = self._workers.snapshot(healthy=healthy_at == now)
                print(metrics.embedded(reported, snapshot), flush=True)
                reported, reported_at = snapshot, now

    def _poll_java(self) -> None:
        while True:
            if self._model_server.answers():
                self._java_answered_at = time.monotonic()
            time.sleep(1)

    def _replace_launcher(self) -> None:
        """Register the model again if the workers' launcher died: MMS alone never recovers."""
        for one in health.reports(self._reports):  # dead workers too: both can die in one tick
            if one.launcher not in self._dead_launchers:
                self._launcher = one.launcher
        if self._launcher and health.start_time(self._launcher[0]) != self._launcher[1]:
            log.warning("the workers' launcher died: registering the model again")
            self._dead_launchers.add(self._launcher)
            # MMS never answers requests that wait when the model goes, so they are answered first.
            can_answer = bool(self._workers.healthy())
            if can_answer:
                self._drain()
            self._workers.kill_children_of(self._launcher)
            self._launcher = None
            self._model_server.unregister()
            self._model_server.register()
            if can_answer:
                self._nginx.restart()

    def _drain(self) -> None:
        """Accept no new request, and wait until the accepted ones are answered."""
        self._nginx.refuse_new()
        deadline = time.monotonic() + self._settings.drain_s
        while self._nginx.process.poll() is None:
            if time.monotonic() > deadline:
                raise ServeError(
                    f"requests were unanswered {self._settings.drain_s} s after the last was "
                    "accepted"
                )
            time.sleep(_DRAIN_TICK_S)

    def _ticks(self) -> Iterator[float]:
        """Yield the seconds passed, every tick, until `stop` is set; check the processes first."""
        begun = time.monotonic()
        while not self._stop.wait(_TICK_S):
            self._check_processes()
            yield time.monotonic() - begun

    def _check_processes(self) -> None:
        for one in health.reports(self._reports):
            if one.refusal is not None:
                reason = printable(" ".join(one.refusal.split()))
                raise ServeError(f"the bundle is refused: {reason}")
        ended = self._model_server.process.poll()
        if ended is not None:
            raise ServeError(f"the model server (Java) {processes.describe_exit(ended)}")
        ended = self._nginx.process.poll()
        if ended is not None:
            what = f"nginx {processes.describe_exit(ended)}"
            self._restarts += 1
            # A signal is an accident; an exit has a reason, which nginx has just logged.
            if ended >= 0 or self._restarts > _MAX_RESTARTS:
                raise ServeError(what)
            log.warning("%s: starting it again", what)
            self._nginx.restart()
        ended = self._lane.process.poll()
        if ended is not None:
            self._lane_restarts += 1
            if ended >= 0 or self._lane_restarts > _MAX_RESTARTS:
                raise ServeError(f"the lane {processes.describe_exit(ended)}")
            log.warning("the lane %s: starting it again", processes.describe_exit(ended))
            self._lane.restart()
        own = (self._nginx.process, self._model_server.process, self._lane.process)
        processes.reap_orphans({one.pid for one in own})


def _seconds_alive() -> float:
    """Return how long ago this process started."""
    started = health.start_time(os.getpid())
    assert started is not None, "this process runs"
    return time.clock_gettime(time.CLOCK_BOOTTIME) - started / os.sysconf("SC_CLK_TCK")


def _check_bundle(settings: Settings) -> None:
    """Raise ServeError if there is no bundle: Java would start only to find that out."""
    described = settings.model_dir / "kennel.json"
    if not (settings.multi_model or settings.code or described.is_file()):
        how = unbundled.explain(settings.model_dir)
        raise ServeError(
            f"there is no bundle in {settings.model_dir}: {described.name} is missing. "
            f"{how or 'SAGEMAKER_BASE_DIR is the folder above `model`'}"
        )


def main() -> int:
    """Serve, and return the exit status."""
    logging.basicConfig(format="%(asctime)s %(levelname)-5s kennel: %(message)s", level="INFO")
    try:
        settings = Settings.from_environment()
        if settings.code:
            user_code.check(settings.code, settings.model_dir)
        notices = user_code.notices(settings.code, settings.model_dir)
        for line in (*variables.passed_over(os.environ), *notices):
            log.warning("%s", printable(line))
    except (SettingsError, user_code.CodeError) as error:
        log.error("invalid settings:\n%s", error)
        return 2
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    try:
        _check_bundle(settings)
        processes.adopt_orphans()
        with tempfile.TemporaryDirectory(prefix="kennel-", dir=settings.run_dir) as run_dir:
            Server(settings, Path(run_dir), stop).run()
    except (ServeError, ModelServerError, WorkersError, nginx.NginxError) as error:
        log.error("%s", printable(str(error)))
        return 1
    except OSError as error:
        log.error("cannot write run-time files: %s: make room, or set KENNEL_RUN_DIR", error)
        return 1
    log.info("stopped")
    return 0


if __name__ == "__main__":
    sys.exit(main())
