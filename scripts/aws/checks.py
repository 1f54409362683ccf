"""What a job or an endpoint needs in the account: looked at before anything is started.

`kennel doctor` prints all findings; `tune`, `train` and `deploy` stop at the ones that would fail.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, Literal

from pictures.picture import shorten
from pictures.tables.table import SUFFIXES
from scripts.aws import quotas, target
from scripts.aws.client import Aws, AwsProblem
from scripts.aws.pushing import SCHEMA_2
from scripts.console import names
from scripts.problem import Problem
from scripts.requests import account, jobs, market, objects, registry
from scripts.requests import endpoints as hosting
from scripts.requests.request import Request
from scripts.spec import Experiment
from scripts.spec.endpoint import Asynchronous, MultiModel, Transform
from scripts.spec.instances import has_gpu

Need = Literal["train", "tune", "deploy"]
NEEDS: tuple[Need, ...] = ("train", "tune", "deploy")
# AWS refuses signatures that are more than five minutes off.
_CLOCK_S = 60
_OTHER_REGION = "it is in {}, but the jobs run in {}: both must be in the same region"
_ECR = re.compile(r"(\d{12})\.dkr\.ecr\.([a-z0-9-]+)\.[^/]+/([^:@]+)(?::(.+)|@(.+))")
_ALIAS = re.compile(r"([^/:]+)@([^/:]+)")
_ARCHIVE = re.compile(r"\.(zip|tar|tgz|tar\.gz)$", re.IGNORECASE)
_THREADS = 8


@dataclass(frozen=True)
class Finding:
    """The result of one check. `fix` is empty if all is well; jobs run without an optional one."""

    check: str
    result: str
    fix: str = ""
    optional: bool = False


Check = tuple[str, Callable[[], str]]


def everything(aws: Aws, experiment: Experiment | None) -> Iterator[Finding]:
    """Credentials, region and clock; with an experiment all that its jobs and endpoint need."""
    try:
        found = target.find(aws)
    except AwsProblem as problem:
        yield Finding("credentials", "not usable", str(problem))
        return
    yield Finding("target", str(found))
    yield Finding("credentials", found.identity["Arn"])
    yield Finding("region", aws.region)
    yield _clock(found.identity)
    if experiment is None:
        return
    needs = [need for need in NEEDS if _wanted(experiment, need)]
    yield from _run(aws, _checks(aws, experiment, needs, on_aws=not found.emulator))
    if not found.emulator:
        yield from _large_image(experiment, needs)
        yield from _quotas(aws, quotas.for_training(experiment) | quotas.for_endpoint(experiment))


def before(
    aws: Aws, experiment: Experiment, need: Need, name: str, *, on_aws: bool
) -> list[Finding]:
    """What would make this job or endpoint fail, found in about a second.

    Args:
        aws: clients.
        experiment: what is to be started.
        need: the verb.
        name: of the job or the endpoint.
        on_aws: whether the target is an account. On an emulator the role, the images and the
            quotas do not matter.
    """
    checks = [(f"the name {name}", lambda: _name(aws, need, name))]
    found = _run(aws, [*checks, *_checks(aws, experiment, [need], on_aws=on_aws)])
    if on_aws:
        found += _large_image(experiment, [need])
        training, endpoint = quotas.for_training(experiment), quotas.for_endpoint(experiment)
        found += _quotas(aws, endpoint if need == "deploy" else training)
    return [one for one in found if one.fix]


def requests(experiment: Experiment | None) -> Iterator[Request]:
    """The requests of `everything`, for --dry-run."""
    yield account.identity()
    if experiment is None:
        return
    yield account.role(experiment.role)
    for bucket, prefixes in _addresses(experiment, trains=True, serves=True).items():
        yield account.bucket(bucket)
        yield account.bucket_region(bucket)
        yield from (objects.top(bucket, prefix) for prefix in prefixes)
    for image in (experiment.images.train, experiment.serving_image):
        yield from _image_requests(image)
    yield market.quotas()


def _wanted(experiment: Experiment, need: Need) -> bool:
    if need == "tune":
        return experiment.tuning is not None
    return experiment.endpoint is not None if need == "deploy" else True


def _checks(
    aws: Aws, experiment: Experiment, needs: Iterable[Need], *, on_aws: bool
) -> Iterator[Check]:
    trains, serves = {"train", "tune"} & set(needs), "deploy" in needs
    own_script = "sagemaker_program" in experiment.hyperparameters  # it knows its channels
    photos = {
        c.uri for name, c in experiment.data.items() if name != "pretrained" and not own_script
    }
    if on_aws:
        yield "role", lambda: _role(aws, experiment.role)
    for bucket, prefixes in _addresses(experiment, trains=bool(trains), serves=serves).items():
        yield f"bucket {bucket}", lambda bucket=bucket: _bucket(aws, bucket)  # type: ignore[misc]
        for prefix in prefixes:
            unpacked = f"s3://{bucket}/{prefix}" in photos
            yield (
                f"photos s3://{bucket}/{prefix}",
                lambda bucket=bucket, prefix=prefix, unpacked=unpacked: _prefix(  # type: ignore[misc]
                    aws, bucket, prefix, unpacked=unpacked
                ),
            )
    if not on_aws:
        return
    images = [experiment.images.train] * bool(trains) + [experiment.serving_image] * serves
    for image in images:
        yield f"image {image}", lambda image=image: _image(aws, image)  # type: ignore[misc]


def _large_image(experiment: Experiment, needs: Iterable[Need]) -> list[Finding]:
    """Whether an endpoint without a GPU would pull the image with the CUDA libraries."""
    machine = getattr(experiment.endpoint, "instance_type", None)
    if "deploy" not in needs or experiment.images.serve_cpu or (machine and has_gpu(machine)):
        return []
    fix = "kennel push serve-cpu --tag TAG; its URI as images.serve_cpu: a tenth of the size"
    result = f"has CUDA libraries for {machine or 'a serverless endpoint'} without a GPU"
    return [Finding("serving image", result, fix, optional=True)]


def _run(aws: Aws, checks: Iterable[Check]) -> list[Finding]:
    """Run the checks at the same time."""
    for service in ("sagemaker", "s3", "iam", "ecr"):
        aws.client(service)  # boto3 must create its clients in one thread
    with ThreadPoolExecutor(_THREADS) as pool:
        return list(pool.map(lambda one: _checked(*one), checks))


def _checked(name: str, check: Callable[[], str]) -> Finding:
    """Turn a problem into a finding; the job may run even if the caller cannot check."""
    try:
        return Finding(name, check())
    except AwsProblem as problem:
        result = "missing" if problem.missing else "cannot be checked"
        return Finding(name, result, str(problem), optional=not problem.missing)
    except Problem as problem:
        return Finding(name, "not ready", str(problem))


def _clock(answer: dict[str, Any]) -> Finding:
    stamp = answer["ResponseMetadata"]["HTTPHeaders"].get("date")
    if not stamp:
        return Finding("clock", "not checked: AWS sent no date")
    off = abs((datetime.now(UTC) - parsedate_to_datetime(stamp)).total_seconds())
    fix = "" if off < _CLOCK_S else "set the clock (ntp): AWS refuses calls more than 5 min off"
    return Finding("clock", f"differs from AWS by {off:.0f} s", fix)


def _name(aws: Aws, need: Need, name: str) -> str:
    """Whether the name is free; an endpoint's may exist, and is updated or made anew then."""
    if need == "deploy":
        try:
            state = aws.send(hosting.describe(name))["EndpointStatus"]
        except AwsProblem as problem:
            if problem.missing:
                return "free"
            raise
        if state not in ("InService", "Failed"):
            raise Problem(
                f"endpoint {name} is {state}: wait until `kennel endpoints` shows InService"
            )
        what = "updated" if state == "InService" else "deleted and made anew"
        return f"exists ({state}): it will be {what}"
    kind = jobs.TUNING if need == "tune" else jobs.TRAINING
    try:
        aws.send(jobs.describe(kind, name))
    except AwsProblem as problem:
        if problem.missing:
            return "free"
        raise
    raise Problem(f"a {jobs.LABELS[kind]} job has this name: give another with --name")


def _role(aws: Aws, arn: str) -> str:
    role = aws.send(account.role(arn))["Role"]
    trust = role["AssumeRolePolicyDocument"]
    if "sagemaker.amazonaws.com" not in json.dumps(trust):
        raise Problem(
            f"{arn} does not trust SageMaker: add the service sagemaker.amazonaws.com with "
            "sts:AssumeRole to its trust policy"
        )
    return "exists, and trusts SageMaker"


def _bucket(aws: Aws, bucket: str) -> str:
    aws.send(account.bucket(bucket))
    answer = aws.send(account.bucket_region(bucket))
    region = answer.get("LocationConstraint") or "us-east-1"
    if region != aws.region:
        raise Problem(_OTHER_REGION.format(region, aws.region))
    return "exists, in the same region"


def _prefix(aws: Aws, bucket: str, prefix: str, *, unpacked: bool) -> str:
    """What a folder holds: of photos also a table of labels; they have to be unpacked."""
    try:
        answer = aws.send(objects.top(bucket, prefix))
    except AwsProblem as problem:
        if problem.missing:
            return "the bucket does not exist"  # the check of the bucket says so
        raise
    files = [one["Key"].rpartition("/")[2] for one in answer.get("Contents", [])]
    folders = answer.get("CommonPrefixes", [])
    if not files and not folders:
        raise Problem(f"empty: upload the photos: kennel data upload DIR s3://{bucket}/{prefix}")
    if not unpacked:
        return "has objects"
    archives = [name for name in files if _ARCHIVE.search(name)]
    if archives and len(files) == len(archives) and not folders:
        raise Problem(
            f"{shorten(archives, 3)}: a job does not unpack archives: download it, and upload what "
            f"is in it: kennel data upload {shorten(archives[:1])} s3://{bucket}/{prefix}"
        )
    tables = [name for name in files if Path(name).suffix.lower() in SUFFIXES]
    return f"labels in {shorten(tables, 3)}" if tables else "has objects"


def _image_requests(image: str) -> Iterator[Request]:
    if alias := _ALIAS.fullmatch(image):
        yield registry.describe_version(alias[1], alias=alias[2])
    elif found := _ECR.fullmatch(image):
        identity = {"imageTag": found[4]} if found[4] else {"imageDigest": found[5]}
        yield registry.describe_ecr_image(found[3], identity)


def _image(aws: Aws, image: str) -> str:
    (request,) = _image_requests(image)
    if request.service == "sagemaker":
        version = aws.send(request)
        if version["ImageVersionStatus"] != "CREATED":
            raise Problem(f"it is {version['ImageVersionStatus']}: register it again")
        return str(version.get("ContainerImage") or version["BaseImage"])
    found = _ECR.fullmatch(image)
    assert found, "the spec allows only ECR URIs and aliases"
    _account, region, _repository, tag, _digest = found.groups()
    if region != aws.region:
        raise Problem(_OTHER_REGION.format(region, aws.region))
    try:
        about = aws.send(request)["imageDetails"][0]
    except AwsProblem as problem:
        if problem.missing or problem.code == "ImageNotFoundException":
            raise Problem(f"not in ECR: push it: kennel push --tag {tag or 'TAG'}") from None
        raise
    kind = about.get("imageManifestMediaType", SCHEMA_2)
    if kind != SCHEMA_2:
        raise Problem(f"hosting refuses its manifest {kind}: push it again with `kennel push`")
    return "exists"


def _quotas(aws: Aws, needed: dict[str, int]) -> Iterator[Finding]:
    """Compare the account's quotas with the instances that are needed at once."""
    try:
        allowed = {one["QuotaName"]: one["Value"] for one in aws.pages(market.quotas(), "Quotas")}
    except AwsProblem as problem:
        yield Finding("quotas", f"cannot be checked; needed: {needed}", str(problem), optional=True)
        return
    for name, count in needed.items():
        quota = allowed.get(name)
        if quota is None:
            yield Finding(f"quota {name}", f"not listed by AWS; {count} needed")
            continue
        fix = f"ask for {count}: Service Quotas > Amazon SageMaker > {name}"
        yield Finding(f"quota {name}", f"{quota:g}, {count} needed", fix if quota < count else "")


def _addresses(experiment: Experiment, *, trains: bool, serves: bool) -> dict[str, list[str]]:
    """The buckets, each with the prefixes that must hold something."""
    written = [experiment.output]
    read = [channel.uri for channel in experiment.data.values()] if trains else []
    endpoint = experiment.endpoint if serves else None
    if isinstance(endpoint, Transform):
        written.append(endpoint.output)
        read.append(endpoint.input)
    elif isinstance(endpoint, Asynchronous):
        written.append(endpoint.output)
    elif isinstance(endpoint, MultiModel):
        read.append(endpoint.models)
    found: dict[str, list[str]] = {names.bucket_and_key(uri)[0]: [] for uri in written}
    for uri in read:
        bucket, prefix = names.bucket_and_key(uri)
        found.setdefault(bucket, []).append(prefix)
    return found
