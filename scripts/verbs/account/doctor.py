"""`kennel doctor`: checks what a job needs, and says how to fix what is wrong."""

import importlib.util
import shutil
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from scripts import docker
from scripts.aws import checks, target
from scripts.aws.checks import Finding
from scripts.aws.client import Aws
from scripts.console import terminal
from scripts.problem import Problem
from scripts.verbs import options

# GiB for both images, their layers and the build cache.
_DISK_GB = 40


def doctor(
    file: Annotated[Path | None, typer.Argument(help="the experiment's TOML file")] = None,
    changes: options.Changes = None,
    offline: Annotated[bool, typer.Option("--offline", help="check this machine only")] = False,
    region: options.Region = None,
    as_json: options.AsJson = False,
    dry_run: options.DryRun = False,
) -> None:
    """Check this machine, the account and the experiment.

    Exits with 1 if a job would fail.
    """
    experiment = options.experiment(file, changes) if file else None
    if dry_run:
        terminal.dry_run(checks.requests(experiment))
        return
    findings = list(check_machine(on_aws=not target.emulator()))
    if not offline:
        region = region or (experiment.region if experiment else None)
        findings += checks.everything(Aws(region), experiment)
    if as_json:
        terminal.as_json([asdict(one) for one in findings])
    else:
        for one in findings:
            mark = "ok  " if not one.fix else "warn" if one.optional else "FAIL"
            terminal.result(f"{mark} {one.check}: {one.result}")
            for line in one.fix.splitlines():
                terminal.result(f"       {line}")
    if any(one.fix and not one.optional for one in findings):
        raise typer.Exit(1)


def check_machine(*, on_aws: bool) -> Iterator[Finding]:
    """Packages, GPU and, for images that are pushed to AWS, Docker and disk."""
    for package, extra in (("boto3", "aws"), ("PIL", "data"), ("imagehash", "data")):
        installed = importlib.util.find_spec(package) is not None
        fix = "" if installed else f"pip install 'sagemaker-kennel[{extra}]'"
        result = "installed" if installed else "missing"
        yield Finding(f"package {package}", result, fix, optional=package != "boto3")
    gpu = "the NVIDIA driver answers" if docker.gpu_options() else "none here; jobs do not need it"
    yield Finding("GPU", gpu)
    if not on_aws:
        return
    try:
        yield Finding("Docker", docker.client())
    except Problem as problem:
        fix = f"{problem}\nonly building and pushing images need it"
        yield Finding("Docker", "not usable", fix, optional=True)
    free = shutil.disk_usage(Path.cwd()).free / 2**30
    fix = "" if free >= _DISK_GB else f"building both images takes about {_DISK_GB} GiB"
    yield Finding("disk", f"{free:.0f} GiB free here", fix, optional=True)
