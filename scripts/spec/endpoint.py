"""`[endpoint]`: how a bundle is served. The kind decides which other keys are allowed."""

from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from scripts.spec.section import Count, Environment, InstanceType, S3Uri, Section

MaxPayloadMb = Annotated[int, Field(ge=1, le=100)]
Ami = Literal[
    "al2-ami-sagemaker-inference-gpu-2",
    "al2-ami-sagemaker-inference-gpu-2-1",
    "al2-ami-sagemaker-inference-gpu-3-1",
    "al2-ami-sagemaker-inference-neuron-2",
    "al2023-ami-sagemaker-inference-gpu-4-1",
]


class Autoscaling(Section):
    """The number of instances follows the invocations per instance and minute."""

    min: int = Field(ge=0, description="fewest instances; 0 for kind `async` only")
    max: Count = Field(description="most instances")
    invocations_per_instance: Count = Field(
        description=(
            "the target: requests for each instance and minute; `async`: requests in the queue "
            "for each instance"
        ),
    )
    scale_in_seconds: int = Field(300, ge=0, description="wait before instances are removed")
    scale_out_seconds: int = Field(60, ge=0, description="wait before more instances are added")

    def conflicts(self) -> Iterator[tuple[str, str]]:
        """A range without a value."""
        if self.min > self.max:
            yield "max", f"must be at least min ({self.min})"


class _Hosted(Section):
    environment: Environment = Field({}, description="environment variables of the server")
    network_isolation: bool = Field(
        False, description="no network in the container; not for `serverless`"
    )
    ttl_hours: float | None = Field(
        None,
        gt=0,
        description=(
            "a schedule deletes the endpoint after these hours. `kennel setup` creates its role; "
            "without the role, `kennel endpoints` shows overdue endpoints and `kennel down --all "
            "--expired` deletes them"
        ),
    )


class _Instances(_Hosted):
    instance_type: InstanceType = Field(description="such as `ml.c5.xlarge`")
    instance_count: Count = Field(1, description="instances at the start")
    volume_gb: int | None = Field(None, ge=1, le=512, description="disk of each instance, in GB")
    startup_seconds: int = Field(
        600, ge=60, le=3600, description="how long the server can take until it is healthy"
    )
    download_seconds: int | None = Field(
        None, ge=60, le=3600, description="how long SageMaker can take to download the bundle"
    )
    inference_ami: Ami | None = Field(
        None,
        description=(
            "the host's system; unset: on a GPU the one with driver 580, because SageMaker's "
            "default has driver 470, too old for the images"
        ),
    )
    autoscaling: Autoscaling | None = Field(
        None, description="follow the load with the number of instances"
    )

    def conflicts(self) -> Iterator[tuple[str, str]]:
        """An initial number of instances that autoscaling does not allow."""
        scaling = self.autoscaling
        if scaling and not scaling.min <= self.instance_count <= scaling.max:
            yield (
                "instance_count",
                f"{self.instance_count} is outside autoscaling's {scaling.min} to {scaling.max}: "
                "change one of them",
            )
        if scaling and scaling.min == 0 and not isinstance(self, Asynchronous):
            yield "autoscaling.min", 'only kind "async" can scale to 0 instances: set 1'


class RealTime(_Instances):
    """Answers immediately, from instances that run all the time."""

    kind: Literal["realtime"] = "realtime"


class Asynchronous(_Instances):
    """Writes answers to S3; takes large pictures, and can scale to 0 instances."""

    kind: Literal["async"] = "async"
    output: S3Uri = Field(description="S3 folder for the answers")
    failures: S3Uri | None = Field(None, description="S3 folder for the errors")
    concurrent: int | None = Field(
        None, ge=1, le=1000, description="requests that an instance gets at the same time"
    )
    success_topic: str | None = Field(
        None, description="ARN of an SNS topic that is told of each answer"
    )
    error_topic: str | None = Field(
        None, description="ARN of an SNS topic that is told of each error"
    )


class MultiModel(_Instances):
    """Many bundles behind one endpoint: every model.tar.gz below `models`."""

    kind: Literal["multi-model"] = "multi-model"
    models: S3Uri = Field(description="S3 folder; each `model.tar.gz` in it is a model")
    cache: bool = Field(True, description="keep loaded models in memory")


class Serverless(_Hosted):
    """Answers immediately, from capacity that AWS starts and stops."""

    kind: Literal["serverless"] = "serverless"
    memory_mb: Literal[1024, 2048, 3072, 4096, 5120, 6144] = Field(
        3072, description="memory; the processor's share grows with it"
    )
    concurrency: int = Field(5, ge=1, le=200, description="most requests at the same time")
    provisioned: int | None = Field(
        None, ge=1, le=200, description="capacity that is always warm, at its price"
    )
    refused: ClassVar = dict.fromkeys(
        _Instances.model_fields.keys() - _Hosted.model_fields.keys(),
        'serverless endpoints have no instances and no GPU: remove it, or use kind = "realtime"',
    )

    def conflicts(self) -> Iterator[tuple[str, str]]:
        """What serverless endpoints cannot do."""
        if self.provisioned and self.provisioned > self.concurrency:
            yield "provisioned", f"must be at most concurrency ({self.concurrency})"
        if self.network_isolation:
            yield "network_isolation", "serverless endpoints cannot be isolated: remove it"


class Transform(Section):
    """A batch job: every picture below `input` gets an answer below `output`."""

    kind: Literal["transform"] = "transform"
    input: S3Uri = Field(description="S3 folder of pictures: one request for each object")
    output: S3Uri = Field(
        description="S3 folder for the answers; not inside `input`, nor around it"
    )
    instance_type: InstanceType = Field(description="such as `ml.m5.xlarge`")
    instance_count: Count = Field(1, description="instances that share the pictures")
    content_type: str = Field("application/x-image", description="of the requests")
    accept: str = Field("application/json;verbose", description="format of the answers")
    concurrent: int = Field(
        4, ge=1, le=100, description="requests that an instance gets at the same time"
    )
    max_payload_mb: MaxPayloadMb = Field(
        6, description="largest picture, in MB; times `concurrent` at most 100"
    )
    timeout_seconds: int = Field(60, ge=1, le=3600, description="limit for one request")
    environment: dict[str, str] = Field(
        {}, max_length=16, description="environment variables of the server"
    )
    network_isolation: bool = Field(False, description="no network in the container")

    def conflicts(self) -> Iterator[tuple[str, str]]:
        """SageMaker's limit on data in flight, and answers among the pictures."""
        source, target = (f"{address.rstrip('/')}/" for address in (self.input, self.output))
        if source.startswith(target) or target.startswith(source):
            yield (
                "output",
                f"{self.output} and input {self.input} are the same folder or one is in the other, "
                "so that the next job would take answers for pictures: set a folder of its own, "
                "such as a prefix next to the input",
            )
        if self.concurrent * self.max_payload_mb > 100:
            yield (
                "concurrent",
                f"{self.concurrent} requests of {self.max_payload_mb} MB are more than the 100 MB "
                "that SageMaker allows in flight: lower one of them",
            )


Hosted = RealTime | Asynchronous | MultiModel | Serverless
Endpoint = Annotated[Hosted | Transform, Field(discriminator="kind")]
