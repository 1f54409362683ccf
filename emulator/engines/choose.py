"""Which engine runs an image: the one that was asked for, or the one that can."""

from emulator.engines.container import Engine
from emulator.engines.docker import DockerEngine, answers
from emulator.engines.processes import ProcessEngine
from emulator.settings import Settings


class Engines:
    """The engines of one emulator; what a killed one left in them is swept away.

    `said` is which they are, in words.

    Raises:
        JobError: docker was asked for, and no engine answers.
    """

    def __init__(self, settings: Settings) -> None:
        self._processes = ProcessEngine(settings)
        self._docker: DockerEngine | None = None
        self._always = settings.engine == "docker"
        self.said: str = settings.engine
        if settings.engine == "auto":
            self.said = "process (auto: no Docker engine answers)"
        if self._always or (settings.engine == "auto" and answers()):
            self._docker = DockerEngine(settings)
            self._docker.sweep()
        if self._docker and not self._always:
            self.said = "docker for the images that it has, else process (auto)"

    def of(self, image: str) -> Engine:
        """Return the engine that runs an image."""
        if self._docker and (self._always or self._docker.has(image)):
            return self._docker
        return self._processes
