"""The instances of an endpoint: started together, pinged, replaced when they fail, ended."""

import itertools
import random
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from emulator import region
from emulator.context import Context
from emulator.contract import Record
from emulator.errors import JobError
from emulator.runs import model_data
from emulator.runs.instance import Instance
from emulator.store.paths import remove_child

LOG_GROUP = "/aws/sagemaker/Endpoints"


class Variant:
    """A production variant's instances.

    Args:
        context: the emulator's context.
        endpoint: the endpoint's name.
        variant: the ProductionVariant of the endpoint configuration.
        model: the model's record.
        folder: a new folder.
    """

    def __init__(
        self, context: Context, endpoint: str, variant: Record, model: Record, folder: Path
    ) -> None:
        self._context, self._endpoint, self._folder = context, endpoint, folder
        self.name: str = variant["VariantName"]
        self.weight: float = variant.get("InitialVariantWeight", 1.0)
        self.count: int = variant.get("InitialInstanceCount", 1)
        self.serverless = "ServerlessConfig" in variant
        self.container: Record = model["PrimaryContainer"]
        self.multi_model = self.container.get("Mode") == "MultiModel"
        self._isolated = bool(model.get("EnableNetworkIsolation"))
        limits = context.settings.limits
        self._startup_s: float = variant.get(
            "ContainerStartupHealthCheckTimeoutInSeconds", limits.startup_s
        )
        self.instances: list[Instance] = []
        self._turns = itertools.count()

    def start(self) -> None:
        """Start all instances and wait until they are healthy.

        Raises:
            JobError: an instance did not become healthy.
        """
        model_data.download(self._context, self.container, self._folder / "model")
        with ThreadPoolExecutor(self.count) as pool:
            starts = [pool.submit(region.carry(self._start_one)) for _ in range(self.count)]
            for started in starts:
                started.result()

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
        with ThreadPoolExecutor(max(1, len(instances))) as pool:
            list(pool.map(Instance.end, instances))

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


class Fleet:
    """An endpoint's variants, as one endpoint configuration describes them.

    Args:
        context: the emulator's context.
        endpoint: the endpoint's name.
        config: the EndpointConfig.
        models: the models' records, by name.
    """

    def __init__(
        self, context: Context, endpoint: str, config: Record, models: dict[str, Record]
    ) -> None:
        self._context, self.config = context, config
        self._folder = context.folder("endpoints", f"{endpoint}-{uuid.uuid4().hex[:8]}")
        self.variants = [
            Variant(
                context, endpoint, given, models[given["ModelName"]], self._folder / f"v{number}"
            )
            for number, given in enumerate(config["ProductionVariants"])
        ]
        self._ended = threading.Event()
        self._watcher = region.thread(self._watch_health, name=f"health {endpoint}")

    def start(self) -> None:
        """Start all variants, and check their health from then on.

        Raises:
            JobError: an instance did not become healthy; all were ended.
        """
        try:
            for variant in self.variants:
                variant.start()
        except BaseException:
            self._end_instances()
            raise
        self._watcher.start()

    def variant(self, name: str = "") -> Variant | None:
        """Return a variant by name; without a name, draw one by weight."""
        if name:
            return next((variant for variant in self.variants if variant.name == name), None)
        weights = [variant.weight for variant in self.variants]
        # Not for cryptography: it only distributes traffic.
        return random.choices(self.variants, weights if any(weights) else None)[0]  # noqa: S311

    def summaries(self) -> list[Record]:
        """Return ProductionVariantSummary for each variant."""
        return [
            {
                "VariantName": variant.name,
                "DeployedImages": [
                    {
                        "SpecifiedImage": variant.container["Image"],
                        "ResolvedImage": variant.container["Image"],
                    }
                ],
                "CurrentWeight": variant.weight,
                "DesiredWeight": variant.weight,
                "CurrentInstanceCount": len(variant.instances),
                "DesiredInstanceCount": variant.count,
            }
            for variant in self.variants
        ]

    def end(self) -> None:
        """End all instances and delete their folders."""
        self._ended.set()
        if self._watcher.is_alive():
            self._watcher.join()
        self._end_instances()

    def _end_instances(self) -> None:
        for variant in self.variants:
            variant.end()
        remove_child(self._folder.parent, self._folder.name)

    def _watch_health(self) -> None:
        failures: dict[Instance, int] = {}
        while not self._ended.wait(self._context.settings.limits.ping_every_s):
            for variant in self.variants:
                try:
                    variant.check_health(failures)
                except JobError:
                    continue  # not healthy yet: it fails its pings and is replaced again
