"""The parts that every operation works with, put together once for each emulator."""

import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from emulator.contract import Record
from emulator.engines.choose import Engines
from emulator.errors import Invalid
from emulator.settings import Settings
from emulator.store.logs import Logs
from emulator.store.objects import Objects
from emulator.store.records import Records

Operation = Callable[[Record], Record]
Operations = dict[str, Operation]


@dataclass(frozen=True)
class Context:
    """One emulator's settings, memory and engines.

    `closing` is set when the emulator ends: whoever waits for something gives up then.
    """

    settings: Settings
    records: Records
    objects: Objects
    logs: Logs
    engines: Engines
    closing: threading.Event = field(default_factory=threading.Event)

    @classmethod
    def open(cls, settings: Settings) -> "Context":
        """Read what the state folder holds, and sweep away what a killed emulator left running."""
        settings.state.mkdir(parents=True, exist_ok=True)
        context = cls(
            settings,
            Records(settings.state / "records"),
            Objects(settings.state / "s3"),
            Logs(settings.state / "logs", settings.region),
            Engines(settings),
        )
        for left in ("endpoints", "transforms"):  # both are laid out anew
            shutil.rmtree(settings.state / left, ignore_errors=True)
        return context

    def need(self, kind: str, name: str, *, said: str = "") -> Record:
        """Return a copy of a record.

        Raises:
            Invalid: there is none; SageMaker says so with a ValidationException.
        """
        found = self.records.get(kind, name)
        if found is None:
            raise Invalid(said or f"Could not find {kind} '{self.settings.arn(kind, name)}'.")
        return found


def now() -> float:
    """Return the time as the API gives it, in epoch seconds."""
    return time.time()
