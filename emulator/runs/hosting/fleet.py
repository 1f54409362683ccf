"""An endpoint's variants: started together, their instances pinged, ended."""

import random
import threading
import uuid
from collections.abc import Callable

from emulator import region
from emulator.context import Context, now
from emulator.contract import Record
from emulator.errors import JobError
from emulator.runs.hosting.instance import Instance
from emulator.runs.hosting.variant import Variant
from emulator.store.paths import remove_child


class Fleet:
    """An endpoint's variants, as one endpoint configuration describes them.

    Args:
        context: the emulator's context.
        endpoint: the endpoint's name.
        config: the EndpointConfig.
        models: the models' records, by name.
        desired: members of ProductionVariants that were changed since, by variant.
    """

    def __init__(
        self,
        context: Context,
        endpoint: str,
        config: Record,
        models: dict[str, Record],
        desired: dict[str, Record],
    ) -> None:
        self._context, self.config = context, config
        self._made_at = now()
        self._folder = context.folder("endpoints", f"{endpoint}-{uuid.uuid4().hex[:8]}")
        self.variants = [
            Variant(
                context,
                endpoint,
                given | desired.get(given["VariantName"], {}),
                models[given["ModelName"]],
                self._folder / f"v{number}",
                isolated=bool(config.get("EnableNetworkIsolation")),
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

    @property
    def healthy(self) -> bool:
        """Whether an instance is."""
        return any(one.healthy for variant in self.variants for one in list(variant.instances))

    def summaries(self) -> list[Record]:
        """Return ProductionVariantSummary for each variant."""
        return [variant.summary() for variant in self.variants]

    def pending(self) -> Record:
        """Return the PendingDeploymentSummary, while the endpoint is created or updated with it."""
        return {
            "EndpointConfigName": self.config["EndpointConfigName"],
            "ProductionVariants": [variant.pending() for variant in self.variants],
            "StartTime": self._made_at,
        }

    def drain(self, until: Callable[[], bool]) -> None:
        """Wait until the requests in flight are answered; clients must not find it any more.

        Args:
            until: whether to wait no longer.
        """
        for variant in self.variants:
            for instance in list(variant.instances):
                instance.drain(until)

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
