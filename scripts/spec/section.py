"""The base of every table in an experiment file: strict keys, all conflicts reported at once."""

from collections.abc import Iterator
from typing import Annotated, ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

S3Uri = Annotated[str, Field(pattern=r"^s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/.*)?$")]
InstanceType = Annotated[str, Field(pattern=r"^ml\.[a-z0-9-]+\.[a-z0-9-]+$")]
Seconds = Annotated[int, Field(ge=1)]
Count = Annotated[int, Field(ge=1)]
Environment = Annotated[dict[str, str], Field(max_length=48)]
Scalar = bool | int | float | str


class Conflicts(ValueError):
    """Values that are valid alone but not together: pairs of key and message with the fix."""

    def __init__(self, found: list[tuple[str, str]]) -> None:
        super().__init__("; ".join(f"{key}: {what}" for key, what in found))
        self.found = found


class Section(BaseModel):
    """One table of an experiment. `refused` explains why keys are not allowed here."""

    # defer_build: `kennel --help` reads no experiment and should not pay for validators.
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, defer_build=True)
    refused: ClassVar[dict[str, str]] = {}

    def conflicts(self) -> Iterator[tuple[str, str]]:
        """Yield the key to change, and a message that says what is wrong and how to fix it."""
        yield from ()

    @model_validator(mode="after")
    def _together(self) -> Self:
        found = list(self.conflicts())
        if found:
            raise Conflicts(found)
        return self
