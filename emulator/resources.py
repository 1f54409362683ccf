"""The kinds of SageMaker resources: how the API names their members, and its errors for names."""

from dataclasses import dataclass

from emulator.errors import ApiError, Conflict, InUse, Invalid, NotFound

Error = tuple[type[ApiError], str]


@dataclass(frozen=True)
class Resource:
    """One kind of resource.

    Args:
        kind: as in `arn:aws:sagemaker:<region>:<account>:<kind>/<name>`.
        prefix: what its members start with, as in TrainingJobName and TrainingJobArn.
        list_key: the member of the List answer that holds the summaries.
        summary: the shape of one summary.
        missing: the error if the name does not exist; `{name}` and `{arn}` are filled in.
        taken: the error if the name already exists.
        lower: whether its ARN is in lower case, so that names that differ in case only collide.
    """

    kind: str
    prefix: str
    list_key: str
    summary: str
    missing: Error
    taken: Error
    lower: bool = False

    def key(self, name: str) -> str:
        """Return what makes a name unique: its part of the ARN."""
        return name.lower() if self.lower else name

    @property
    def name_key(self) -> str:
        """The member with the name."""
        return f"{self.prefix}Name"

    @property
    def arn_key(self) -> str:
        """The member with the ARN."""
        return f"{self.prefix}Arn"

    @property
    def status_key(self) -> str:
        """The member with the status."""
        return f"{self.prefix}Status"

    @property
    def end_key(self) -> str:
        """The member with the time when a job ended."""
        return f"{self.prefix.removesuffix('Job')}EndTime"


TRAINING_JOB = Resource(
    "training-job",
    "TrainingJob",
    "TrainingJobSummaries",
    "TrainingJobSummary",
    missing=(Invalid, "Requested resource not found."),
    taken=(
        InUse,
        "Training job names must be unique within an AWS account and region, and a training job "
        "with this name already exists ({arn})",
    ),
)
TUNING_JOB = Resource(
    "hyper-parameter-tuning-job",
    "HyperParameterTuningJob",
    "HyperParameterTuningJobSummaries",
    "HyperParameterTuningJobSummary",
    missing=(
        NotFound,
        "Amazon SageMaker can't find a tuning job called {name}. Type another name.",
    ),
    taken=(
        InUse,
        "A hyperparameter tuning job with the name, {name}, already exists. Choose a different "
        "name.",
    ),
)
TRANSFORM_JOB = Resource(
    "transform-job",
    "TransformJob",
    "TransformJobSummaries",
    "TransformJobSummary",
    missing=(Invalid, "Could not find requested job with name: {name}"),
    taken=(
        InUse,
        "Job name must be unique within an AWS account and region, and a job with this name "
        "already exists ({arn})",
    ),
)


def _hosting(kind: str, prefix: str, noun: str) -> Resource:
    return Resource(
        kind,
        prefix,
        f"{prefix}s",
        f"{prefix}Summary",
        missing=(Invalid, f'Could not find {noun} "{{arn}}".'),
        taken=(Invalid, f'Cannot create already existing {noun} "{{arn}}".'),
    )


MODEL = _hosting("model", "Model", "model")
ENDPOINT_CONFIG = _hosting("endpoint-config", "EndpointConfig", "endpoint configuration")
ENDPOINT = _hosting("endpoint", "Endpoint", "endpoint")
IMAGE = Resource(
    "image",
    "Image",
    "Images",
    "Image",
    missing=(NotFound, "No Image with the name {name} exists."),
    taken=(InUse, "Image {arn} already exists"),
    lower=True,  # as the API's pattern of ImageArn has it
)
# Its name is `<image>:<number>`. Operations find it through its image: these errors do not occur.
IMAGE_VERSION = Resource(
    "image-version",
    "ImageVersion",
    "ImageVersions",
    "ImageVersion",
    missing=(NotFound, "No ImageVersion {name} exists."),
    taken=(InUse, "ImageVersion {arn} already exists"),
    lower=True,
)
PACKAGE_GROUP = Resource(
    "model-package-group",
    "ModelPackageGroup",
    "ModelPackageGroupSummaryList",
    "ModelPackageGroupSummary",
    missing=(Invalid, "ModelPackageGroup {arn} does not exist."),
    taken=(Invalid, "Model Package Group already exists: {arn}"),
)
# The name of a version is `<group>/<number>`, in `_name`.
PACKAGE = Resource(
    "model-package",
    "ModelPackage",
    "ModelPackageSummaryList",
    "ModelPackageSummary",
    missing=(Invalid, "ModelPackage {arn} does not exist."),
    taken=(Conflict, "Model Package already exists: {arn}"),
)
TAGGED = (
    TRAINING_JOB,
    TUNING_JOB,
    TRANSFORM_JOB,
    MODEL,
    ENDPOINT_CONFIG,
    ENDPOINT,
    IMAGE,
    PACKAGE_GROUP,
    PACKAGE,
)
