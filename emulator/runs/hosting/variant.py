"""A production variant: its instances, started together, replaced when they fail, scaled, ended."""

import contextlib
import itertools
import math
import threading
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from emulator import region
from emulator.context import Context, now
from emulator.contract import Record
from emulator.engines import registry
from emulator.errors import JobError
from emulator.runs.hosting import model_data
from emulator.runs.hosting.instance import Instance

LOG_GROUP = "/aws/sagemaker/Endpoints"


class Variant:
    """A production variant's instances.

    Args:
        context: the emulator's context.
        endpoint: the endpoint's name.
        variant: the ProductionVariant of the endpoint configuration.
        model: the model's record.
        folder: a new folder.
        isolated: without any network, whatever the model says.
    """

    def __init__(
        self,
        context: Context,
        endpoint: str,
        variant: Record,
        model: Record,
        folder: Path,
        *,
        isolated: bool,
    ) -> None:
        self._context, self._endpoint, self._folder = context, endpoint, folder
        self.name: str = variant["VariantName"]
        self.weight: float = variant.get("InitialVariantWeight", 1.0)
        self.serverless: Record = dict(variant.get("ServerlessConfig", {}))
        self._machine = {name: variant[name] for name in ("InstanceType",) if name in variant}
        self.count: int = 1 if self.serverless else variant["InitialInstanceCount"]
        self.container: Record = model_data.container(model)
        self.multi_model = self.container.get("Mode") == "MultiModel"
        self._isolated = isolated or bool(model.get("EnableNetworkIsolation"))
        self._resolved = registry.by_digest(self.container["Image"], context.region)
        self._resolved_at = now()
        limits = context.settings.limits
        self._startup_s: float = variant.get(
            "ContainerStartupHealthCheckTimeoutInSeconds", limits.startup_s
        )
        self.instances: list[Instance] = []
        self._turns = itertools.count()
        self._in_flight = 0
        self._lock = threading.Lock()

    def start(self) -> None:
        """Start all instances and wait until they are healthy.

        Raises:
            JobError: an instance did not become healthy.
        """
        model_data.download(self._context, self.container, self._folder / "model")
        self._add(self.count)

    def scale(self, count: int, until: Callable[[], bool]) -> None:
        """Start more instances, or end some, until there are `count`.

        Args:
            count: of instances.
            until: whether to wait no longer for the answers of those that end.

        Raises:
            JobError: a new instance did not become healthy; the new ones were ended.
        """
        before = list(self.instances)
        try:
            self._add(count - len(before))
        except JobError:
            _end_all([one for one in self.instances if one not in before])
            self.instances = before
            raise
        self.count = count
        surplus, self.instances = self.instances[count:], self.instances[:count]
        for instance in surplus:
            instance.drain(until)
        _end_all(surplus)

    @contextlib.contextmanager
    def invocation(self) -> Iterator[bool]:
        """Count an invocation; yields whether a serverless variant takes it now."""
        most = self.serverless.get("MaxConcurrency", math.inf)
        with self._lock:
            taken = self._in_flight < most
            self._in_flight += taken
        try:
            yield taken
        finally:
            with self._lock:
                self._in_flight -= taken

    def summary(self) -> Record:
        """Return the ProductionVariantSummary."""
        summary: Record = {
            "VariantName": self.name,
            "DeployedImages": [
                {
                    "SpecifiedImage": self.container["Image"],
                    "ResolvedImage": self._resolved,
                    "ResolutionTime": self._resolved_at,
                }
            ],
            "CurrentWeight": self.weight,
            "DesiredWeight": self.weight,
        }
        if self.serverless:
            config = {"CurrentServerlessConfig": self.serverless}
            return summary | config | {"DesiredServerlessConfig": self.serverless}
        counts = {"CurrentInstanceCount": len(self.instances), "DesiredInstanceCount": self.count}
        return summary | counts

    def pending(self) -> Record:
        """Return the PendingProductionVariantSummary, while it is being deployed."""
        kept = {name: value for name, value in self.summary().items() if "Current" not in name}
        status = {"Status": "Creating", "StartTime": self._resolved_at}
        return kept | self._machine | {"VariantStatus": [status]}

    def check_health(self, failures: dict[Instance, int]) -> None:
        """Ping each instance once; replace those that have ended or failed too many pings."""
        for instance in list(self.instances):
            failures[instance] = 0 if instance.ping() else failures.get(instance, 0) + 1
            if (
                instance.ended
                or failures[instance] >= self._context.settings.limits.unhealthy_pings
            ):
                self.instances.remove(instance)
                instance.end()
                self._start_one()

    def next_instance(self) -> Instance | None:
        """Return the next healthy instance (round robin), or None."""
        healthy = [instance for instance in self.instances if instance.healthy]
        return healthy[next(self._turns) % len(healthy)] if healthy else None

    def end(self) -> None:
        """End all instances."""
        instances, self.instances = self.instances, []
        _end_all(instances)

    def _add(self, count: int) -> None:
        """Start instances, all at once."""
        with ThreadPoolExecutor(max(1, count)) as pool:
            starts = [pool.submit(region.carry(self._start_one)) for _ in range(count)]
        for started in starts:
            started.result()

    def _start_one(self) -> None:
        number = uuid.uuid4().hex[:12]
        instance = Instance(
            self._context,
            f"{self._context.unique(self._endpoint)}-{number}",
            self.container,
            self._folder / "model",
            self._folder / f"i-{number}",
            (f"{LOG_GROUP}/{self._endpoint}", f"{self.name}/i-{number}"),
            env={"SAGEMAKER_MULTI_MODEL": "true"} if self.multi_model else {},
            isolated=self._isolated,
        )
        self.instances.append(instance)
        instance.wait_healthy(self._startup_s, f"production variant {self.name}")


def _end_all(instances: list[Instance]) -> None:
    with ThreadPoolExecutor(max(1, len(instances))) as pool:
        list(pool.map(Instance.end, instances))
