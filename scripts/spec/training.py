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

    train: Image = Field(description="ECR URI with a tag or digest, or `name@alias`")
    serve: Image = Field(description="ECR URI with a tag or digest, or `name@alias`")
    serve_cpu: Image | None = Field(
        None,
        description="the small image without torch: serverless endpoints, and machines without "
        "a GPU, take it instead of `serve`",
    )

    def given(self) -> list[str]:
        """All images of the experiment."""
        return [one for one in (self.train, self.serve, self.serve_cpu) if one]


class Channel(Section):
    """One input channel. In TOML, the S3 URI alone is enough.

    With `type = "ManifestFile"` the URI is that of SageMaker's manifest, and its objects are the
    channel.
    """

    uri: S3Uri = Field(description="S3 address of a folder, or of a manifest")
    type: Literal["S3Prefix", "ManifestFile"] = Field(
        "S3Prefix",
        description=(
            "`ManifestFile`: the address is that of a manifest, and the objects that it lists are"
            " the channel"
        ),
    )
    mode: Literal["File", "FastFile"] = Field(
        "File",
        description=(
            "`FastFile`: the job reads from S3 while it trains; `File`: SageMaker copies all "
            "files first"
        ),
    )
    distribution: Literal["FullyReplicated", "ShardedByS3Key"] = Field(
        "FullyReplicated",
        description=(
            "`ShardedByS3Key`: each host gets a part of the objects; else every host gets all"
        ),
    )

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

    subnets: list[Annotated[str, Field(pattern="^subnet-")]] = Field(
        min_length=1, max_length=16, description="IDs of subnets"
    )
    security_groups: list[Annotated[str, Field(pattern="^sg-")]] = Field(
        min_length=1, max_length=5, description="IDs of security groups"
    )


class Training(Section):
    """The machines of a training job, and of each trial of a tuning job."""

    instance_type: InstanceType = Field(description="such as `ml.g5.xlarge`")
    instance_count: Count = Field(1, description="hosts that train together")
    volume_gb: Count = Field(50, description="disk of each host, in GB")
    max_run_seconds: Seconds = Field(
        4 * 3600, description="SageMaker stops the job after this time: the most that it can cost"
    )
    spot: bool = Field(
        False,
        description=(
            "use spot instances; needs `max_wait_seconds` (at least `max_run_seconds`) and "
            "`checkpoints`"
        ),
    )
    max_wait_seconds: Seconds | None = Field(
        None, description="with spot: the limit for waiting plus running"
    )
    checkpoints: S3Uri | None = Field(
        None, description="S3 folder that SageMaker syncs with `/opt/ml/checkpoints` during the job"
    )
    keep_alive_seconds: int | None = Field(
        None,
        ge=0,
        le=21_600,
        description=(
            "warm pool: the instances wait so long for the next job, at their price; not with spot"
        ),
    )
    network_isolation: bool = Field(
        False,
        description=(
            "no network in the container; pretrained weights then need a channel `pretrained`"
        ),
    )
    encrypt_between_hosts: bool = Field(False, description="encrypt the traffic between hosts")
    retries: int | None = Field(
        None, ge=1, le=30, description="how often SageMaker retries after an internal error"
    )
    environment: Environment = Field({}, description="environment variables of the job")

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
