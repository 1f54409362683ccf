"""`[training]`, `[data]`, `[images]`, `[vpc]`: the machines, inputs, images and network of jobs."""

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from scripts.spec.section import Count, Environment, InstanceType, S3Uri, Seconds, Section

_REGISTRY = r"\d{12}\.dkr\.ecr\.[a-z0-9-]+\.amazonaws\.com(\.cn)?"
_ECR = _REGISTRY + r"/[a-z0-9._/-]+(:[\w.-]+|@sha256:[0-9a-f]{64})"
_ALIAS = r"[a-zA-Z0-9][a-zA-Z0-9.-]{0,62}@[a-zA-Z0-9_][\w.-]{0,127}"
Image = Annotated[str, Field(pattern=f"^({_ECR}|{_ALIAS})$", max_length=255)]


class Images(Section):
    """ECR URIs with a tag or digest, or `name@alias` of images that `kennel register` made."""

    train: Image
    serve: Image


class Channel(Section):
    """One input channel. In TOML, the S3 URI alone is enough.

    With `type = "ManifestFile"` the URI is that of SageMaker's manifest, and its objects are the
    channel.
    """

    uri: S3Uri
    type: Literal["S3Prefix", "ManifestFile"] = "S3Prefix"
    mode: Literal["File", "FastFile"] = "File"
    distribution: Literal["FullyReplicated", "ShardedByS3Key"] = "FullyReplicated"

    @model_validator(mode="after")
    def _manifest_is_an_object(self) -> "Channel":
        if self.type == "ManifestFile" and self.uri.endswith("/"):
            raise ValueError(f"a ManifestFile is one object, and {self.uri} is a folder")
        return self

    @model_validator(mode="before")
    @classmethod
    def _uri_alone(cls, given: Any) -> Any:
        return {"uri": given} if isinstance(given, str) else given


class Vpc(Section):
    """The private network that jobs and endpoints run in."""

    subnets: list[Annotated[str, Field(pattern="^subnet-")]] = Field(min_length=1, max_length=16)
    security_groups: list[Annotated[str, Field(pattern="^sg-")]] = Field(min_length=1, max_length=5)


class Training(Section):
    """The machines of a training job, and of each trial of a tuning job."""

    instance_type: InstanceType
    instance_count: Count = 1
    volume_gb: Count = 50
    max_run_seconds: Seconds = 4 * 3600
    spot: bool = False
    max_wait_seconds: Seconds | None = None
    checkpoints: S3Uri | None = None
    keep_alive_seconds: int | None = Field(None, ge=0, le=21_600)
    network_isolation: bool = False
    encrypt_between_hosts: bool = False
    retries: int | None = Field(None, ge=1, le=30)
    environment: Environment = Field({})

    def conflicts(self) -> Iterator[tuple[str, str]]:
        """Incomplete spot settings, and settings that spot or one host rule out."""
        if self.spot:
            if self.max_wait_seconds is None:
                yield (
                    "max_wait_seconds",
                    "spot training needs it: the time for waiting plus running, "
                    f"at least max_run_seconds ({self.max_run_seconds})",
                )
            elif self.max_wait_seconds < self.max_run_seconds:
                yield (
                    "max_wait_seconds",
                    f"{self.max_wait_seconds} includes the running time, and is less than "
                    f"max_run_seconds ({self.max_run_seconds}): raise it",
                )
            if self.checkpoints is None:
                yield (
                    "checkpoints",
                    "without it, an interrupted spot job starts from zero: "
                    "set an s3:// folder for its checkpoints",
                )
            if self.keep_alive_seconds:
                yield (
                    "keep_alive_seconds",
                    "spot instances have no warm pool: remove one of them",
                )
        elif self.max_wait_seconds is not None:
            yield "max_wait_seconds", "it is for spot training only: set spot = true, or remove it"
        if self.encrypt_between_hosts and self.instance_count == 1:
            yield "encrypt_between_hosts", "there is only one host: remove it"
