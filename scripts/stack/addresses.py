"""The S3 folders, repositories and key of an experiment, and their ARNs."""

import re
from dataclasses import dataclass

from scripts.spec import Experiment
from scripts.spec.endpoint import Asynchronous, MultiModel, Transform

_ECR = re.compile(r"(\d{12})\.dkr\.ecr\.([a-z0-9-]+)\.amazonaws\.com[^/]*/([^:@]+)")


@dataclass(frozen=True)
class Place:
    """Where the experiment runs. `partition` is aws, aws-cn or aws-us-gov."""

    partition: str
    account: str
    region: str

    def arn(self, service: str, resource: str) -> str:
        """Return the ARN of a resource of this account and region."""
        return f"arn:{self.partition}:{service}:{self.region}:{self.account}:{resource}"


@dataclass(frozen=True)
class Folder:
    """A bucket and a prefix without a slash at its end; the prefix can be empty."""

    bucket: str
    prefix: str

    @classmethod
    def parse(cls, uri: str) -> "Folder":
        """Read an address such as s3://bucket/prefix/."""
        bucket, _, prefix = uri.removeprefix("s3://").partition("/")
        return cls(bucket, prefix.rstrip("/"))


def read(experiment: Experiment) -> list[Folder]:
    """Return the folders that jobs and endpoints read."""
    found = [channel.uri for channel in experiment.data.values()]
    found += written_uris(experiment)  # checkpoints, bundles, answers
    endpoint = experiment.endpoint
    if isinstance(endpoint, Transform):
        found.append(endpoint.input)
    if isinstance(endpoint, MultiModel):
        found.append(endpoint.models)
    return _unique(found)


def written(experiment: Experiment) -> list[Folder]:
    """Return the folders that jobs and endpoints write."""
    return _unique(written_uris(experiment))


def written_uris(experiment: Experiment) -> list[str]:
    """Return the addresses that jobs and endpoints write, as in the spec."""
    found = [experiment.output]
    if experiment.training.checkpoints:
        found.append(experiment.training.checkpoints)
    endpoint = experiment.endpoint
    if isinstance(endpoint, Transform | Asynchronous):
        found.append(endpoint.output)
    if isinstance(endpoint, Asynchronous) and endpoint.failures:
        found.append(endpoint.failures)
    return found


def buckets(experiment: Experiment) -> list[str]:
    """Return the names of all buckets."""
    return list(dict.fromkeys(folder.bucket for folder in read(experiment)))


def repositories(experiment: Experiment, place: Place) -> list[str]:
    """Return the names of the ECR repositories in the role's account and this region.

    An image by alias (`name@alias`) is in the repository of its name.
    """
    found = []
    for image in experiment.images.given():
        if match := _ECR.match(image):
            if _is_own(experiment, place, match):
                found.append(match[3])
        else:
            found.append(image.partition("@")[0])
    return list(dict.fromkeys(found))


def foreign_repositories(experiment: Experiment, place: Place) -> list[str]:
    """Return the ARNs of repositories in other accounts or regions than the role's."""
    found = []
    for image in experiment.images.given():
        match = _ECR.match(image)
        if match and not _is_own(experiment, place, match):
            found.append(f"arn:{place.partition}:ecr:{match[2]}:{match[1]}:repository/{match[3]}")
    return list(dict.fromkeys(found))


def role_name(experiment: Experiment) -> str:
    """Return the name of the role, without its path."""
    return experiment.role.rpartition("/")[2]


def role_path(experiment: Experiment) -> str:
    """Return the path of the role; `/` for most."""
    return "/" + experiment.role.partition(":role/")[2].removesuffix(role_name(experiment))


def role_account(experiment: Experiment) -> str:
    """Return the number of the role's account."""
    return experiment.role.split(":")[4]


def _is_own(experiment: Experiment, place: Place, image: re.Match[str]) -> bool:
    # An emulator has an account number of its own.
    return (image[1], image[2]) == (role_account(experiment), place.region)


def _unique(uris: list[str]) -> list[Folder]:
    return list(dict.fromkeys(map(Folder.parse, uris)))
