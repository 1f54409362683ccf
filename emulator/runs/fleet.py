"""All instances of one endpoint configuration: brought up together, watched, replaced, ended."""

import itertools
import random
import shutil
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from emulator.context import Context
from emulator.contract import Record
from emulator.errors import JobError
from emulator.runs.instance import Instance, fetch_model

GROUP = "/aws/sagemaker/Endpoints"


class Variant:
    """A production variant's instances.

    Args:
        context: the emulator.
        endpoint: its name.
        said: the ProductionVariant.
        model: the model's record.
        folder: a new folder.
    """

    def __init__(
        self, context: Context, endpoint: str, said: Record, model: Record, folder: Path
    ) -> None:
        self._context, self._endpoint, self._folder = context, endpoint, folder
        self.name: str = said["VariantName"]
        self.weight: float = said.get("InitialVariantWeight", 1.0)
        self.count: int = said.get("InitialInstanceCount", 1)
        self.serverless = "ServerlessConfig" in said
        self.container: Record = model["PrimaryContainer"]
        self.multi_model = self.container.get("Mode") == "MultiModel"
        self._isolated = bool(model.get("EnableNetworkIsolation"))
        limits = context.settings.limits
        self._startup_s: float = said.get(
            "ContainerStartupHealthCheckTimeoutInSeconds", limits.startup_s
        )
        self.instances: list[Instance] = []
        self._turns = itertools.count()

    def start(self) -> None:
        """Bring all instances up.

        Raises:
            JobError: one of them did not come up.
        """
        fetch_model(self._context, self.container, self._folder / "model")
        with ThreadPoolExecutor(self.count) as pool:
            list(pool.map(lambda _: self._start_one(), range(self.count)))

    def watch(self, failures: dict[Instance, int]) -> None:
        """Ping each instance once; replace one that has ended, or has failed too often."""
        for instance in list(self.instances):
            failures[instance] = 0 if instance.ping() else failures.get(instance, 0) + 1
            if (
                instance.ended
                or failures[instance] >= self._context.settings.limits.unhealthy_pings
            ):
                self.instances.remove(instance)
                instance.end()
                self._start_one()

    def choose(self) -> Instance | None:
        """Return the next healthy instance in turn, or None."""
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
            f"{self._endpoint}-{number}",
            self.container,
            self._folder / "model",
            self._folder / f"i-{number}",
            (f"{GROUP}/{self._endpoint}", f"{self.name}/i-{number}"),
            env={"SAGEMAKER_MULTI_MODEL": "true"} if self.multi_model else {},
            isolated=self._isolated,
        )
        self.instances.append(instance)
        instance.wait_healthy(self._startup_s, f"production variant {self.name}")


class Fleet:
    """An endpoint's variants, after one configuration.

    Args:
        context: the emulator.
        endpoint: its name.
        config: the EndpointConfig.
        models: the models' records by name.
    """

    def __init__(
        self, context: Context, endpoint: str, config: Record, models: dict[str, Record]
    ) -> None:
        self._context, self.config = context, config
        self._folder = context.settings.state / "endpoints" / f"{endpoint}-{uuid.uuid4().hex[:8]}"
        self.variants = [
            Variant(context, endpoint, said, models[said["ModelName"]], self._folder / f"v{number}")
            for number, said in enumerate(config["ProductionVariants"])
        ]
        self._ended = threading.Event()
        self._watch = threading.Thread(target=self._keep_watch, daemon=True)

    def start(self) -> None:
        """Bring all variants up, and watch over them.

        Raises:
            JobError: one did not come up; none is left.
        """
        try:
            for variant in self.variants:
                variant.start()
        except BaseException:
            self._clear()
            raise
        self._watch.start()

    def variant(self, name: str = "") -> Variant | None:
        """Return a variant by name, or one by weight."""
        if name:
            return next((one for one in self.variants if one.name == name), None)
        weights = [one.weight for one in self.variants]
        # Traffic is shared out by weight: chance is meant, not secrecy.
        return random.choices(self.variants, weights if any(weights) else None)[0]  # noqa: S311

    def summaries(self) -> list[Record]:
        """Return ProductionVariantSummary for each variant."""
        return [
            {
                "VariantName": one.name,
                "DeployedImages": [
                    {
                        "SpecifiedImage": one.container["Image"],
                        "ResolvedImage": one.container["Image"],
                    }
                ],
                "CurrentWeight": one.weight,
                "DesiredWeight": one.weight,
                "CurrentInstanceCount": len(one.instances),
                "DesiredInstanceCount": one.count,
            }
            for one in self.variants
        ]

    def end(self) -> None:
        """End all instances, and forget what they had on disk."""
        self._ended.set()
        if self._watch.is_alive():
            self._watch.join()
        self._clear()

    def _clear(self) -> None:
        for variant in self.variants:
            variant.end()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _keep_watch(self) -> None:
        failures: dict[Instance, int] = {}
        while not self._ended.wait(self._context.settings.limits.ping_every_s):
            for variant in self.variants:
                try:
                    variant.watch(failures)
                except JobError:
                    continue  # it did not come up: it fails its pings, and is replaced again
