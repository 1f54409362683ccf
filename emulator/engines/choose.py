"""Which engine runs an image: Docker or processes."""

from emulator.engines.container import Engine
from emulator.engines.docker import DockerEngine, answers
from emulator.engines.processes import ProcessEngine
from emulator.settings import Settings


class Engines:
    """The engines of one emulator. Containers that a killed emulator left behind are removed.

    `description` says which engines are in use.

    Raises:
        JobError: the settings require Docker, and no Docker engine answers.
    """

    def __init__(self, settings: Settings) -> None:
        self._processes = ProcessEngine(settings)
        self._docker: DockerEngine | None = None
        self._docker_only = settings.engine == "docker"
        self.description: str = settings.engine
        if settings.engine == "auto":
            self.description = "process (auto: no Docker engine answers)"
        if self._docker_only or (settings.engine == "auto" and answers()):
            self._docker = DockerEngine(settings)
            self._docker.sweep()
        if self._docker and not self._docker_only:
            self.description = "docker for the images that it has, else process (auto)"

    def for_image(self, image: str) -> Engine:
        """Return the engine that runs an image."""
        if self._docker and (self._docker_only or self._docker.has(image)):
            return self._docker
        return self._processes
