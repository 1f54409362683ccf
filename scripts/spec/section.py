"""What every table of an experiment file has in common: strict keys, all conflicts told at once."""

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
    """Values that are each well-formed but cannot stand together: (key, what and cure) pairs."""

    def __init__(self, found: list[tuple[str, str]]) -> None:
        super().__init__("; ".join(f"{key}: {what}" for key, what in found))
        self.found = found


class Section(BaseModel):
    """One table of an experiment. `refused` says why a key of other sections is none of this."""

    # Validators are built when an experiment is read: `kennel --help` reads none.
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, defer_build=True)
    refused: ClassVar[dict[str, str]] = {}

    def conflicts(self) -> Iterator[tuple[str, str]]:
        """Yield the key to change, and what is wrong with the cure."""
        yield from ()

    @model_validator(mode="after")
    def _together(self) -> Self:
        found = list(self.conflicts())
        if found:
            raise Conflicts(found)
        return self
