"""One hosting instance: its container, from start over its first healthy ping to its end."""

import contextlib
import http.client
import shutil
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from emulator.api.models import model_data
from emulator.context import Context
from emulator.contract import Record
from emulator.engines.container import Container, Mount, Plan
from emulator.errors import JobError
from emulator.settings import HOST
from emulator.store import artifacts
from emulator.store.objects import Location

_TICK_S = 0.05


@dataclass(frozen=True)
class Answer:
    """A container's answer."""

    status: int
    body: bytes
    headers: Mapping[str, str]


class NoAnswer(Exception):
    """The container did not answer; the text says how."""


def fetch_model(context: Context, container: Record, folder: Path) -> None:
    """Bring a container's model data to a folder, as SageMaker does to /opt/ml/model.

    Raises:
        JobError: it is not there, or no archive.
    """
    folder.mkdir(parents=True)
    uri = model_data(container)
    if not uri or container.get("Mode") == "MultiModel":
        return
    source = container.get("ModelDataSource", {}).get("S3DataSource", {})
    place = Location.parse(uri)
    if source.get("CompressionType") == "None":
        if source["S3DataType"] == "S3Prefix":
            artifacts.Sync(context.objects, folder, place).fetch()
        else:
            context.objects.fetch(place, folder / Path(place.key).name)
        return
    artifacts.unpack(context.objects, place, folder)


class Instance:
    """A container that serves.

    Args:
        context: the emulator.
        name: unique among instances.
        container: of the model, as in CreateModel.
        model: a folder with its data.
        root: a new folder, for its /opt/ml.
        log: group and stream.
        env: variables beside the container's own.
        isolated: from every network.

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
        self._ending = contextlib.ExitStack()
        root.mkdir(parents=True)
        self._engine = context.engines.of(container["Image"])
        network = self._engine.network(name, 1, isolated=isolated)
        plan = Plan(
            name=name,
            image=container["Image"],
            verb="serve",
            root=root,
            network=self._ending.enter_context(network),
            host="algo-1",
            env={
                "AWS_REGION": context.settings.region,
                **container.get("Environment", {}),
                **env,
            },
            mounts=(Mount(model, "model", read_only=True),),
        )
        try:
            self._container: Container = self._engine.start(plan)
        except BaseException:
            self._ending.close()
            raise
        stream = context.logs.stream(*log)
        self._pump = threading.Thread(target=self._write_logs, args=(stream.write,), daemon=True)
        self._pump.start()
        self.healthy = False

    def seen(self, path: str) -> str:
        """Return where the container finds `path`, which is below /opt/ml."""
        return self._engine.seen(self.root, path)

    def wait_healthy(self, seconds: float, who: str) -> None:
        """Ping until it says 200.

        Raises:
            JobError: it does not in time, or ends.
        """
        deadline = time.monotonic() + seconds
        failed = (
            f"The primary container for {who} did not pass the ping health check. "
            "Please check CloudWatch logs for this endpoint."
        )
        while not self.ping():
            code = self._container.poll()
            if code is not None:
                # SageMaker would start it again until the time is up, to the same end.
                raise JobError(f"{failed} (The container ended with exit code {code}.)")
            if time.monotonic() > deadline or self._context.closing.is_set():
                raise JobError(failed)
            time.sleep(_TICK_S)

    def ping(self) -> bool:
        """Whether /ping says 200 in time; it is healthy then."""
        try:
            self.healthy = self.ask("GET", "/ping", timeout=self._context.settings.limits.ping_s)
        except NoAnswer:
            self.healthy = False
        return self.healthy

    def ask(self, method: str, path: str, *, timeout: float) -> bool:
        """Send a request without a body; return whether the answer is 200."""
        return self.send(method, path, b"", {}, timeout=timeout).status == http.HTTPStatus.OK

    def send(
        self, method: str, path: str, body: bytes, headers: Mapping[str, str], *, timeout: float
    ) -> Answer:
        """Send a request to the container, whatever it answers.

        Raises:
            NoAnswer: it refused the connection, closed it, or took longer than `timeout` seconds.
        """
        line = http.client.HTTPConnection(HOST, self._container.port, timeout=timeout)
        try:
            line.request(method, path, body or None, dict(headers))
            answer = line.getresponse()
            return Answer(answer.status, answer.read(), dict(answer.getheaders()))
        except TimeoutError:
            raise NoAnswer(
                "Your invocation timed out while waiting for a response from container primary. "
                "Review the latency metrics for each container in Amazon CloudWatch, resolve the "
                "issue, and try again."
            ) from None
        except (OSError, http.client.HTTPException) as error:
            raise NoAnswer(f"The container closed the connection: {error!r}") from None
        finally:
            line.close()

    @property
    def ended(self) -> bool:
        """Whether the container has ended by itself."""
        return self._container.poll() is not None

    def end(self) -> None:
        """Send SIGTERM, and SIGKILL after the grace; remove all."""
        self.healthy = False
        self._container.terminate()
        deadline = time.monotonic() + self._context.settings.limits.endpoint_grace_s
        while self._container.poll() is None and time.monotonic() < deadline:
            time.sleep(_TICK_S)
        self._container.remove()
        self._pump.join()
        self._ending.close()
        shutil.rmtree(self.root, ignore_errors=True)

    def _write_logs(self, write: Callable[[str], None]) -> None:
        for line in self._container.lines():
            write(line)
