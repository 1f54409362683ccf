"""What every operation works with: settings, stored state and engines. One for each emulator."""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from moto.utilities.utils import get_partition

from emulator import region
from emulator.contract import Record
from emulator.engines.choose import Engines
from emulator.keys import JobKeys
from emulator.resources import Resource
from emulator.settings import ACCOUNT, Settings
from emulator.slots import Slots, fitting
from emulator.store.logs import Logs
from emulator.store.objects import Objects
from emulator.store.paths import child, private_folder, remove_child
from emulator.store.records import Records

Operation = Callable[[Record], Record]
Operations = dict[str, Operation]


@dataclass(frozen=True)
class Context:
    """One emulator's settings, stored state and engines.

    `closing` is set when the emulator stops: every wait then ends. `changing` is held by the one
    operation that changes something: what it has checked still holds when it writes.
    """

    settings: Settings
    records: Records
    objects: Objects
    logs: Logs
    engines: Engines
    slots: Slots
    keys: JobKeys = field(default_factory=JobKeys)
    closing: threading.Event = field(default_factory=threading.Event)
    changing: threading.Lock = field(default_factory=threading.Lock)

    @classmethod
    def open(cls, settings: Settings) -> "Context":
        """Load the state folder, and remove what a killed emulator left running."""
        private_folder(settings.state)
        context = cls(
            settings,
            Records(settings.state / "records", settings.region),
            Objects(settings.state / "s3"),
            Logs(settings.state / "logs", settings.region),
            Engines(settings),
            Slots(settings.jobs or fitting()),
        )
        for name in ("endpoints", "transforms"):  # scratch folders: made again when needed
            remove_child(settings.state, name)
        return context

    def create(self, resource: Resource, record: Record) -> Record:
        """Store a new resource; return its ARN, as Create operations answer.

        Raises:
            ApiError: the name is taken.
        """
        name = record[resource.name_key]
        answer = {resource.arn_key: self.arn(resource, name)}
        if not self.records.add(resource, name, record | answer):
            error, message = resource.taken
            raise error(message.format(name=name, arn=self.arn(resource, name)))
        return answer

    def require(self, resource: Resource, name: str) -> Record:
        """Return a copy of a resource's record.

        Raises:
            ApiError: it does not exist.
        """
        record = self.records.get(resource, name)
        if record is None:
            error, message = resource.missing
            raise error(message.format(name=name, arn=self.arn(resource, name)))
        return record

    @property
    def region(self) -> str:
        """The region at work."""
        return region.current(self.settings.region)

    def arn(self, resource: Resource, name: str) -> str:
        """Return a resource's ARN, in the region at work and its partition."""
        start = f"arn:{get_partition(self.region)}:sagemaker:{self.region}:{ACCOUNT}"
        return f"{start}:{resource.kind}/{resource.key(name)}"

    def unique(self, name: str) -> str:
        """Return a name for files and containers: names are unique in one region only."""
        return name if self.region == self.settings.region else f"{name}@{self.region}"

    def folder(self, kind: str, name: str) -> Path:
        """Return the path of a job's scratch folder below the state folder.

        Raises:
            JobError: as `child`.
        """
        return child(self.settings.state.resolve() / kind, self.unique(name))

    def each_region(self) -> Iterator[str]:
        """Work in each region that has records, one after the other."""
        for name in self.records.regions():
            with region.at(name):
                yield name


def now() -> float:
    """Return the time as the API gives it: seconds since 1970."""
    return time.time()
