"""`kennel doctor`: what has to be in order before a job, each finding with its cure."""

import importlib.util
import json
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from scripts.aws import quotas
from scripts.aws.client import Aws, AwsProblem
from scripts.aws.pushing import SCHEMA_2
from scripts.console import names, shown
from scripts.make.local import gpu_options
from scripts.problem import Problem
from scripts.requests import account, market, registry
from scripts.requests.request import Request
from scripts.spec import Experiment
from scripts.verbs import options

# GiB free for building the images: both, their layers, and the build's cache.
_DISK_GB = 40
# AWS refuses signatures that are more than five minutes off.
_CLOCK_S = 60
_ECR = re.compile(r"(\d{12})\.dkr\.ecr\.([a-z0-9-]+)\.[^/]+/([^:@]+)(?::(.+)|@(.+))")


@dataclass(frozen=True)
class Finding:
    """One thing looked at. `cure` is empty where nothing is wrong; a wish is no fault."""

    what: str
    found: str
    cure: str = ""
    wish: bool = False


def doctor(
    file: Annotated[Path | None, typer.Argument(help="the experiment's TOML file")] = None,
    changes: options.Changes = None,
    offline: Annotated[bool, typer.Option("--offline", help="look at this machine only")] = False,
    region: options.Region = None,
    dry_run: options.DryRun = False,
) -> None:
    """Look at this machine, the account and the experiment; ends with 1 where a job would fail."""
    experiment = options.experiment(file, changes) if file else None
    if dry_run:
        shown.dry(_calls(experiment))
        return
    findings = list(on_this_machine())
    if not offline:
        findings += in_the_account(
            Aws(region or (experiment.region if experiment else None)), experiment
        )
    for one in findings:
        mark = "ok  " if not one.cure else "wish" if one.wish else "BAD "
        shown.tell(f"{mark} {one.what}: {one.found}")
        if one.cure:
            shown.tell(f"       {one.cure}")
    if any(one.cure and not one.wish for one in findings):
        raise typer.Exit(1)


def on_this_machine() -> Iterator[Finding]:
    """Docker, GPU, disk, and Python packages; none is needed for SageMaker jobs themselves."""
    script = Path(__file__).parents[2] / "docker" / "client.sh"
    docker = subprocess.run(["sh", script], capture_output=True, text=True, check=False)
    engine = docker.stdout.strip()
    cure = "" if engine else "start the engine (dockerd); needed to build and push images only"
    yield Finding("Docker", engine or docker.stderr.strip(), cure, wish=True)
    yield Finding(
        "GPU", "the NVIDIA driver answers" if gpu_options() else "none; jobs have their own"
    )
    free = shutil.disk_usage(Path.cwd()).free / 2**30
    cure = "" if free >= _DISK_GB else f"building both images takes about {_DISK_GB} GiB"
    yield Finding("disk", f"{free:.0f} GiB free here", cure, wish=True)
    for package, extra in (("boto3", "aws"), ("PIL", "data"), ("imagehash", "data")):
        there = importlib.util.find_spec(package) is not None
        cure = "" if there else f"pip install 'sagemaker-kennel[{extra}]'"
        found = "there" if there else "missing"
        yield Finding(f"package {package}", found, cure, wish=package != "boto3")


def in_the_account(aws: Aws, experiment: Experiment | None) -> Iterator[Finding]:
    """Credentials, region and clock; with an experiment its role, buckets and images too."""
    try:
        who = aws.send(account.identity())
    except AwsProblem as problem:
        yield Finding("credentials", "not usable", str(problem))
        return
    yield Finding("credentials", who["Arn"])
    yield Finding("region", aws.region)
    yield _clock(who)
    if experiment is None:
        return
    yield _checked("role", lambda: _role(aws, experiment.role))
    for bucket in _buckets(experiment):
        yield _checked(f"bucket {bucket}", lambda bucket=bucket: _bucket(aws, bucket))  # type: ignore[misc]
    for image in (experiment.images.train, experiment.images.serve):
        yield _checked(f"image {image}", lambda image=image: _image(aws, image))  # type: ignore[misc]

    yield from _quotas(aws, experiment)


def _quotas(aws: Aws, experiment: Experiment) -> Iterator[Finding]:
    """Whether the account may have the experiment's machines, by the quotas' own names."""
    needed = quotas.wanted(experiment)
    try:
        allowed = {one["QuotaName"]: one["Value"] for one in aws.pages(market.quotas(), "Quotas")}
    except AwsProblem as problem:
        yield Finding("quotas", f"cannot be looked at; needed: {needed}", str(problem), wish=True)
        return
    for name, count in needed.items():
        have = allowed.get(name)
        if have is None:
            yield Finding(f"quota {name}", f"AWS lists none; {count} needed")
            continue
        cure = (
            f"ask for {count}: Service Quotas > Amazon SageMaker > {name}" if have < count else ""
        )
        yield Finding(f"quota {name}", f"{have:g}, {count} needed", cure)


def _checked(what: str, look: Callable[[], str]) -> Finding:
    """Turn a refusal into a finding; a right to look that is missing is no fault of the job's."""
    try:
        return Finding(what, look())
    except AwsProblem as problem:
        return Finding(what, "cannot be looked at", str(problem), wish=problem.forbidden)
    except Problem as problem:
        return Finding(what, "not in order", str(problem))


def _clock(answer: dict[str, Any]) -> Finding:
    stamp = answer["ResponseMetadata"]["HTTPHeaders"].get("date")
    if not stamp:
        return Finding("clock", "AWS did not say the time")
    off = abs((datetime.now(UTC) - parsedate_to_datetime(stamp)).total_seconds())
    cure = "" if off < _CLOCK_S else "set the clock (ntp): AWS refuses calls more than 5 min off"
    return Finding("clock", f"{off:.0f} s off AWS's", cure)


def _role(aws: Aws, arn: str) -> str:
    role = aws.send(account.role(arn))["Role"]
    trust = role["AssumeRolePolicyDocument"]
    if "sagemaker.amazonaws.com" not in json.dumps(trust):
        raise Problem(
            f"{arn} does not trust SageMaker: add the service sagemaker.amazonaws.com with "
            "sts:AssumeRole to its trust policy"
        )
    return "there, and trusts SageMaker"


def _bucket(aws: Aws, bucket: str) -> str:
    try:
        aws.send(account.bucket(bucket))
    except AwsProblem as problem:
        if problem.missing:
            raise Problem(
                f"no such bucket: aws s3 mb s3://{bucket} --region {aws.region}"
            ) from None
        raise
    answer = aws.send(account.bucket_region(bucket))
    where = answer.get("LocationConstraint") or "us-east-1"
    if where != aws.region:
        raise Problem(f"it is in {where}, and SageMaker in {aws.region} takes its own region only")
    return "there, in the same region"


def _image(aws: Aws, image: str) -> str:
    question = options.alias(image)
    if question:
        return f"{options.resolved(aws, image)}"
    found = _ECR.fullmatch(image)
    assert found, "the spec lets only ECR URIs and aliases through"
    _account, region, repository, tag, digest = found.groups()
    if region != aws.region:
        raise Problem(f"it is in {region}, and SageMaker in {aws.region} takes its own region only")
    identity = {"imageTag": tag} if tag else {"imageDigest": digest}
    try:
        about = aws.send(registry.described_images(repository, identity))["imageDetails"][0]
    except AwsProblem as problem:
        if problem.missing or problem.code == "ImageNotFoundException":
            raise Problem(f"it is not in ECR: kennel push --tag {tag or 'TAG'}") from None
        raise
    kind = about.get("imageManifestMediaType", SCHEMA_2)
    if kind != SCHEMA_2:
        raise Problem(f"its manifest is {kind}, which hosting refuses: push it again with kennel")
    return "there"


def _buckets(experiment: Experiment) -> list[str]:
    addresses = [experiment.output, *(channel.uri for channel in experiment.data.values())]
    return list(dict.fromkeys(names.bucket_and_key(address)[0] for address in addresses))


def _calls(experiment: Experiment | None) -> Iterator[Request]:
    yield account.identity()
    if experiment is None:
        return
    yield account.role(experiment.role)
    for bucket in _buckets(experiment):
        yield account.bucket(bucket)
        yield account.bucket_region(bucket)
    for image in (experiment.images.train, experiment.images.serve):
        question = options.alias(image)
        found = _ECR.fullmatch(image)
        if question:
            yield question
        elif found:
            identity = {"imageTag": found[4]} if found[4] else {"imageDigest": found[5]}
            yield registry.described_images(found[3], identity)
    yield market.quotas()
