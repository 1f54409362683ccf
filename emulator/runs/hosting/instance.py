"""One hosting instance: a container that serves, from its start to its end."""

import contextlib
import http.client
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from emulator.context import Context
from emulator.contract import Record
from emulator.engines.container import Container, Mount, Plan
from emulator.errors import JobError
from emulator.settings import HOST

_POLL_S = 0.05
_QUIET_POLLS = 4


@dataclass(frozen=True)
class Answer:
    """A container's HTTP response."""

    status: int
    body: bytes
    headers: Mapping[str, str]


class NoAnswer(Exception):
    """The container sent no response; the text says why."""


class Instance:
    """A container that serves.

    Args:
        context: the emulator's context.
        name: unique among instances.
        container: of the model, as in CreateModel.
        model: the folder with its model data.
        root: a new folder, for its /opt/ml.
        log: log group and log stream.
        env: variables in addition to the container's own.
        isolated: without any network.

    Raises:
        JobError: it cannot be started.
    """

    def __init__(
        self,
        context: Context,
        name: str,
        container: Record,
        model: Path,
        root: Path,
        log: tuple[str, str],
        *,
        env: Mapping[str, str],
        isolated: bool = False,
    ) -> None:
        self._context, self.root = context, root
        self._cleanup = contextlib.ExitStack()
        root.mkdir(parents=True)
        self._engine = context.engines.for_image(container["Image"])
        network = self._engine.network(name, 1, isolated=isolated)
        plan = Plan(
            name=name,
            image=container["Image"],
            verb="serve",
            root=root,
            network=self._cleanup.enter_context(network),
            host="algo-1",
            env={
                "AWS_REGION": context.region,
                **container.get("Environment", {}),
                **env,
            },
            mounts=(Mount(model, "model", read_only=True),),
        )
        try:
            self._container: Container = self._engine.start(plan)
        except BaseException:
            self._cleanup.close()
            raise
        stream = context.logs.stream(*log)
        self._log_copier = threading.Thread(
            target=self._copy_logs, args=(stream.write,), daemon=True
        )
        self._log_copier.start()
        self._pinged = False
        self._in_flight = 0
        self._lock = threading.Lock()

    def container_path(self, path: str) -> str:
        """Return where the container finds `path`, which is below /opt/ml."""
        return self._engine.container_path(self.root, path)

    def wait_healthy(self, seconds: float, owner: str) -> None:
        """Ping until the container is healthy.

        Raises:
            JobError: it is not healthy in time, or has ended.
        """
        deadline = time.monotonic() + seconds
        failure = (
            f"The primary container for {owner} did not pass the ping health check. "
            "Please check CloudWatch logs for this endpoint."
        )
        while not self.ping():
            code = self._container.poll()
            if code is not None:
                # SageMaker would restart it until the time is up, with the same result.
                raise JobError(f"{failure} (The container ended with exit code {code}.)")
            if time.monotonic() > deadline or self._context.closing.is_set():
                raise JobError(failure)
            time.sleep(_POLL_S)

    def ping(self) -> bool:
        """Return whether /ping answers 200 in time; `healthy` remembers it."""
        timeout = self._context.settings.limits.ping_s
        try:
            status = self.send("GET", "/ping", b"", {}, timeout=timeout).status
        except NoAnswer:
            self._pinged = False
        else:
            self._pinged = status == http.HTTPStatus.OK
        return self._pinged

    @property
    def healthy(self) -> bool:
        """Whether it runs, and answered the last ping."""
        return self._pinged and not self.ended

    def send(
        self, method: str, path: str, body: bytes, headers: Mapping[str, str], *, timeout: float
    ) -> Answer:
        """Send a request to the container and return its response, whatever the status.

        Raises:
            NoAnswer: it refused or closed the connection, or took longer than `timeout` seconds.
        """
        with self._counted(method):
            return self._send(method, path, body, headers, timeout)

    @contextlib.contextmanager
    def _counted(self, method: str) -> Iterator[None]:
        """Count a request, but not a ping, while it is in flight."""
        one = method == "POST"
        with self._lock:
            self._in_flight += one
        try:
            yield
        finally:
            with self._lock:
                self._in_flight -= one

    def _send(
        self, method: str, path: str, body: bytes, headers: Mapping[str, str], timeout: float
    ) -> Answer:
        connection = http.client.HTTPConnection(HOST, self._container.port, timeout=timeout)
        try:
            connection.request(method, path, body or None, dict(headers))
            response = connection.getresponse()
            return Answer(response.status, response.read(), dict(response.getheaders()))
        except TimeoutError:
            raise NoAnswer(
                "Your invocation timed out while waiting for a response from container primary. "
                "Review the latency metrics for each container in Amazon CloudWatch, resolve the "
                "issue, and try again."
            ) from None
        except (OSError, http.client.HTTPException) as error:
            raise NoAnswer(f"The container closed the connection: {error!r}") from None
        finally:
            connection.close()

    @property
    def ended(self) -> bool:
        """Whether the container has ended."""
        return self._container.poll() is not None

    def drain(self, until: Callable[[], bool]) -> None:
        """Wait until the requests in flight are answered; clients must not find it any more.

        Args:
            until: whether to wait no longer.
        """
        quiet = 0  # a client may have found it just before, and not have sent its request yet
        while quiet < _QUIET_POLLS and not until():
            time.sleep(_POLL_S)
            quiet = 0 if self._in_flight else quiet + 1

    def end(self) -> None:
        """Send SIGTERM, then SIGKILL after the grace period; remove container and folder."""
        self._pinged = False
        self._container.terminate()
        deadline = time.monotonic() + self._context.settings.limits.endpoint_grace_s
        while self._container.poll() is None and time.monotonic() < deadline:
            time.sleep(_POLL_S)
        self._container.remove()
        self._log_copier.join()
        self._cleanup.close()
        shutil.rmtree(self.root, ignore_errors=True)

    def _copy_logs(self, write: Callable[[str], None]) -> None:
        for line in self._container.lines():
            write(line)
