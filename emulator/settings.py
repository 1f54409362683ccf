"""Settings: state folder, engine, how images start, the platform's limits.

They can be read from a TOML file. The defaults are SageMaker's own values.
"""

import os
import secrets
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
ACCESS_KEY_VARIABLE = "EMULATOR_ACCESS_KEY"


def _new_access_key() -> str:
    return f"EMULATOR{secrets.token_hex(12).upper()}"


class Strict(BaseModel):
    """A table of the file. Unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Image(Strict):
    """How the process engine starts images whose URI matches `match` (a shell pattern).

    `{python}` is replaced by the emulator's interpreter.
    """

    match: str = "*"
    train: tuple[str, ...] = ("{python}", "-m", "train.entry")
    serve: tuple[str, ...] = ("{python}", "-m", "serve.entry")

    def command(self, verb: Literal["train", "serve"]) -> list[str]:
        """Return the command line that `docker run IMAGE verb` would start."""
        words: Sequence[str] = self.train if verb == "train" else self.serve
        return [sys.executable if word == "{python}" else word for word in words]


class Limits(Strict):
    """The platform's times in seconds and sizes in bytes."""

    stop_grace_s: float = 120  # StopTrainingJob: from SIGTERM to SIGKILL
    spot_notice_s: float = 120  # spot interruption: from SIGTERM to SIGKILL
    checkpoint_sync_s: float = 5  # interval of uploads of checkpoints to S3
    ping_s: float = 2  # timeout of /ping
    ping_every_s: float = 1
    unhealthy_pings: int = 5  # an instance is replaced after so many failed pings in a row
    startup_s: float = 240  # until the first healthy /ping; a variant can set its own
    accept_s: float = 0.25  # timeout of connections to an instance
    invocation_s: float = 60
    endpoint_grace_s: float = 30  # serving container: from SIGTERM to SIGKILL
    payload_bytes: int = 6 * 1024 * 1024
    async_payload_bytes: int = 1024**3
    transform_payload_mb: int = 6


class Settings(Strict):
    """All settings of one emulator."""

    state: Path
    port: int = Field(0, ge=0, le=65535)
    engine: EngineName = "auto"
    region: str = "us-east-1"
    # The secret that lets a client in: it travels as the access key of each request.
    access_key: str = Field(
        default_factory=_new_access_key, pattern="^[A-Za-z0-9_]{1,128}$", repr=False
    )
    # How many instances of jobs run at once; None: as many as fit the machine.
    jobs: int | None = Field(None, ge=1)
    # Whether the account has SageMaker Debugger; new AWS accounts do not.
    debugger: bool = True
    images: tuple[Image, ...] = ()
    limits: Limits = Limits()
    # The emulator's variables that its processes inherit; containers inherit none.
    inherit: tuple[str, ...] = tuple(
        "PATH HOME LANG LC_ALL TMPDIR PYTHONPATH VIRTUAL_ENV LD_LIBRARY_PATH TORCH_HOME "
        "OMP_NUM_THREADS OMP_WAIT_POLICY PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION".split()
    )

    @classmethod
    def read(cls, file: Path | None, **given: object) -> "Settings":
        """Read the file; command line options override it.

        Raises:
            pydantic.ValidationError: names all keys with errors.
            OSError, ValueError: the file cannot be read, or is not TOML.
        """
        try:
            table = tomllib.loads(file.read_text("utf-8-sig")) if file else {}
        except RecursionError:
            raise ValueError(f"{file}: its tables or lists are nested too deeply") from None
        options = {key: value for key, value in given.items() if value is not None}
        return cls.model_validate(table | options)

    def image(self, uri: str) -> Image:
        """Return how an image starts: the first match, else the defaults."""
        return next((image for image in self.images if fnmatchcase(uri, image.match)), Image())

    def inherited(self) -> dict[str, str]:
        """Return the variables that processes inherit, with an absolute PYTHONPATH."""
        variables = {name: os.environ[name] for name in self.inherit if name in os.environ}
        if "PYTHONPATH" in variables:
            parts = variables["PYTHONPATH"].split(os.pathsep)
            variables["PYTHONPATH"] = os.pathsep.join(str(Path(part).absolute()) for part in parts)
        return variables
