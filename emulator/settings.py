"""What can be set: where state is kept, which engine, how images start, the platform's limits.

Read from a TOML file, if one is given; every key has SageMaker's own value as its default.
"""

import os
import sys
import tomllib
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

ACCOUNT = "123456789012"
HOST = "127.0.0.1"
EngineName = Literal["auto", "process", "docker"]


class Strict(BaseModel):
    """A table of the file: unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Image(Strict):
    """How the process engine starts images whose URI matches `match` (a shell pattern).

    `{python}` stands for the interpreter that runs the emulator.
    """

    match: str = "*"
    train: tuple[str, ...] = ("{python}", "-m", "train.entry")
    serve: tuple[str, ...] = ("{python}", "-m", "serve.entry")

    def command(self, verb: Literal["train", "serve"]) -> list[str]:
        """Return the command line that `docker run IMAGE verb` would start."""
        line: Sequence[str] = self.train if verb == "train" else self.serve
        return [sys.executable if word == "{python}" else word for word in line]


class Limits(Strict):
    """The platform's times in seconds and sizes in bytes."""

    stop_grace_s: float = 120  # StopTrainingJob: SIGTERM to SIGKILL
    spot_notice_s: float = 120  # an interruption's notice
    checkpoint_sync_s: float = 5  # how often checkpoints go to S3
    ping_s: float = 2  # /ping has to answer within
    ping_every_s: float = 1
    unhealthy_pings: int = 5  # failed pings in a row before an instance is replaced
    startup_s: float = 240  # /ping has to say 200 within, unless the variant says otherwise
    accept_s: float = 0.25  # connecting to an instance
    invocation_s: float = 60
    endpoint_grace_s: float = 30  # SIGTERM to SIGKILL of a serving container
    payload_bytes: int = 6 * 1024 * 1024
    async_payload_bytes: int = 1024**3
    transform_payload_mb: int = 6


class Settings(Strict):
    """All settings of one emulator."""

    state: Path
    port: int = Field(0, ge=0, le=65535)
    engine: EngineName = "auto"
    region: str = "us-east-1"
    # Whether the account has SageMaker Debugger, as those made of late have not.
    debugger: bool = True
    images: tuple[Image, ...] = ()
    limits: Limits = Limits()
    # Of the emulator's own environment, what its processes see; a container would see none of it.
    inherit: tuple[str, ...] = tuple(
        "PATH HOME LANG LC_ALL TMPDIR PYTHONPATH VIRTUAL_ENV LD_LIBRARY_PATH TORCH_HOME "
        "OMP_NUM_THREADS OMP_WAIT_POLICY PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION".split()
    )

    @classmethod
    def read(cls, file: Path | None, **given: object) -> "Settings":
        """Read the file; what is given on the command line wins.

        Raises:
            pydantic.ValidationError: every key that cannot be used.
            OSError, tomllib.TOMLDecodeError: the file.
        """
        table = tomllib.loads(file.read_text()) if file else {}
        said = {key: value for key, value in given.items() if value is not None}
        return cls.model_validate(table | said)

    def image(self, uri: str) -> Image:
        """Return how an image starts: the first that matches, else the defaults."""
        return next((one for one in self.images if fnmatchcase(uri, one.match)), Image())

    def inherited(self) -> dict[str, str]:
        """Return the variables that processes inherit, with PYTHONPATH made absolute."""
        kept = {name: os.environ[name] for name in self.inherit if name in os.environ}
        if "PYTHONPATH" in kept:
            parts = kept["PYTHONPATH"].split(os.pathsep)
            kept["PYTHONPATH"] = os.pathsep.join(str(Path(part).absolute()) for part in parts)
        return kept

    def arn(self, kind: str, name: str) -> str:
        """Return a resource's ARN."""
        return f"arn:aws:sagemaker:{self.region}:{ACCOUNT}:{kind}/{name.lower()}"
