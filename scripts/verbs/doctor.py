"""`kennel doctor`: checks what a job needs, and says how to fix what is wrong."""

import importlib.util
import json
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from scripts import docker
from scripts.aws import quotas
from scripts.aws.client import Aws, AwsProblem
from scripts.aws.pushing import SCHEMA_2
from scripts.console import names, terminal
from scripts.problem import Problem
from scripts.requests import account, market, registry
from scripts.requests.request import Request
from scripts.spec import Experiment
from scripts.verbs import options

# GiB for both images, their layers and the build cache.
_DISK_GB = 40
# AWS refuses signatures that are more than five minutes off.
_CLOCK_S = 60
_OTHER_REGION = "it is in {}, but the jobs run in {}: both must be in the same region"
_ECR = re.compile(r"(\d{12})\.dkr\.ecr\.([a-z0-9-]+)\.[^/]+/([^:@]+)(?::(.+)|@(.+))")


@dataclass(frozen=True)
class Finding:
    """The result of one check. `fix` is empty if all is well; jobs run without an optional one."""

    check: str
    result: str
    fix: str = ""
    optional: bool = False


def doctor(
    file: Annotated[Path | None, typer.Argument(help="the experiment's TOML file")] = None,
    changes: options.Changes = None,
    offline: Annotated[bool, typer.Option("--offline", help="check this machine only")] = False,
    region: options.Region = None,
    dry_run: options.DryRun = False,
) -> None:
    """Check this machine, the account and the experiment.

    Exits with 1 if a job would fail.
    """
    experiment = options.experiment(file, changes) if file else None
    if dry_run:
        terminal.dry_run(_requests(experiment))
        return
    findings = list(check_machine())
    if not offline:
        region = region or (experiment.region if experiment else None)
        findings += check_account(Aws(region), experiment)
    for one in findings:
        mark = "ok  " if not one.fix else "warn" if one.optional else "FAIL"
        terminal.result(f"{mark} {one.check}: {one.result}")
        if one.fix:
            terminal.result(f"       {one.fix}")
    if any(one.fix and not one.optional for one in findings):
        raise typer.Exit(1)


def check_machine() -> Iterator[Finding]:
    """Docker, GPU, disk and Python packages; jobs on SageMaker need only boto3."""
    try:
        yield Finding("Docker", docker.client())
    except Problem as problem:
        yield Finding("Docker", str(problem), "only building and pushing images need it", True)
    gpu = "the NVIDIA driver answers" if docker.gpu_options() else "none here; jobs do not need it"
    yield Finding("GPU", gpu)
    free = shutil.disk_usage(Path.cwd()).free / 2**30
    fix = "" if free >= _DISK_GB else f"building both images takes about {_DISK_GB} GiB"
    yield Finding("disk", f"{free:.0f} GiB free here", fix, optional=True)
    for package, extra in (("boto3", "aws"), ("PIL", "data"), ("imagehash", "data")):
        installed = importlib.util.find_spec(package) is not None
        fix = "" if installed else f"pip install 'sagemaker-kennel[{extra}]'"
        result = "installed" if installed else "missing"
        yield Finding(f"package {package}", result, fix, optional=package != "boto3")


def check_account(aws: Aws, experiment: Experiment | None) -> Iterator[Finding]:
    """Credentials, region and clock; with an experiment also its role, buckets, images, quotas."""
    try:
        identity = aws.send(account.identity())
    except AwsProblem as problem:
        yield Finding("credentials", "not usable", str(problem))
        return
    yield Finding("credentials", identity["Arn"])
    yield Finding("region", aws.region)
    yield _clock(identity)
    if experiment is None:
        return
    yield _checked("role", lambda: _role(aws, experiment.role))
    for bucket in _buckets(experiment):
        yield _checked(f"bucket {bucket}", lambda bucket=bucket: _bucket(aws, bucket))  # type: ignore[misc]
    for image in (experiment.images.train, experiment.images.serve):
        yield _checked(f"image {image}", lambda image=image: _image(aws, image))  # type: ignore[misc]
    yield from _quotas(aws, experiment)


def _quotas(aws: Aws, experiment: Experiment) -> Iterator[Finding]:
    """Compare the account's quotas with the instances that the experiment needs."""
    needed = quotas.needed(experiment)
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


def _checked(name: str, check: Callable[[], str]) -> Finding:
    """Turn a problem into a finding; the job may run even if the caller cannot check."""
    try:
        return Finding(name, check())
    except AwsProblem as problem:
        return Finding(name, "cannot be checked", str(problem), optional=problem.forbidden)
    except Problem as problem:
        return Finding(name, "not ready", str(problem))


def _clock(answer: dict[str, Any]) -> Finding:
    stamp = answer["ResponseMetadata"]["HTTPHeaders"].get("date")
    if not stamp:
        return Finding("clock", "not checked: AWS sent no date")
    off = abs((datetime.now(UTC) - parsedate_to_datetime(stamp)).total_seconds())
    fix = "" if off < _CLOCK_S else "set the clock (ntp): AWS refuses calls more than 5 min off"
    return Finding("clock", f"differs from AWS by {off:.0f} s", fix)


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
    try:
        aws.send(account.bucket(bucket))
    except AwsProblem as problem:
        if problem.missing:
            raise Problem(
                f"no such bucket: create it: aws s3 mb s3://{bucket} --region {aws.region}"
            ) from None
        raise
    answer = aws.send(account.bucket_region(bucket))
    region = answer.get("LocationConstraint") or "us-east-1"
    if region != aws.region:
        raise Problem(_OTHER_REGION.format(region, aws.region))
    return "exists, in the same region"


def _image(aws: Aws, image: str) -> str:
    if options.alias_requests(image):
        return options.resolve(aws, image)
    found = _ECR.fullmatch(image)
    assert found, "the spec allows only ECR URIs and aliases"
    _account, region, repository, tag, digest = found.groups()
    if region != aws.region:
        raise Problem(_OTHER_REGION.format(region, aws.region))
    identity = {"imageTag": tag} if tag else {"imageDigest": digest}
    try:
        about = aws.send(registry.describe_ecr_image(repository, identity))["imageDetails"][0]
    except AwsProblem as problem:
        if problem.missing or problem.code == "ImageNotFoundException":
            raise Problem(f"not in ECR: push it: kennel push --tag {tag or 'TAG'}") from None
        raise
    kind = about.get("imageManifestMediaType", SCHEMA_2)
    if kind != SCHEMA_2:
        raise Problem(f"hosting refuses its manifest {kind}: push it again with `kennel push`")
    return "exists"


def _buckets(experiment: Experiment) -> list[str]:
    addresses = [experiment.output, *(channel.uri for channel in experiment.data.values())]
    return list(dict.fromkeys(names.bucket_and_key(address)[0] for address in addresses))


def _requests(experiment: Experiment | None) -> Iterator[Request]:
    yield account.identity()
    if experiment is None:
        return
    yield account.role(experiment.role)
    for bucket in _buckets(experiment):
        yield account.bucket(bucket)
        yield account.bucket_region(bucket)
    for image in (experiment.images.train, experiment.images.serve):
        yield from options.alias_requests(image)
        if found := _ECR.fullmatch(image):
            identity = {"imageTag": found[4]} if found[4] else {"imageDigest": found[5]}
            yield registry.describe_ecr_image(found[3], identity)
    yield market.quotas()
