"""A job's recording from wherever it is: a folder here, an archive, S3, or what the job left there.

A job writes into the checkpoint folder where it has one, else into its output; AWS's own files lie
below the paths of its debug hook and its profiler.
"""

import tarfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from scripts.aws.client import Aws, AwsProblem, translated
from scripts.console.names import bucket_and_key
from scripts.problem import Problem

_THREADS = 16
# Whole tensors are not what a report is made of, and large.
_LARGE = (".npy", ".pt", ".safetensors", ".partial")


def places(about: dict[str, Any]) -> list[str]:
    """The S3 addresses where a training job's recording may lie, likeliest first.

    Args:
        about: DescribeTrainingJob's answer.
    """
    name = about["TrainingJobName"]
    found = []
    if hook := about.get("DebugHookConfig"):
        found.append(f"{_folder(hook['S3OutputPath'])}{name}/debug-output/")
    if checkpoints := about.get("CheckpointConfig"):
        found.append(f"{_folder(checkpoints['S3Uri'])}{name}/recording/")
    output = f"{_folder(about['OutputDataConfig']['S3OutputPath'])}{name}/output/output"
    found.append(f"{output}.tar.gz" if _compressed(about) else f"{output}/")
    return found


def of_job(aws: Aws, about: dict[str, Any], into: Path) -> Path:
    """Download a training job's recording into a folder, and return where it then is.

    Raises:
        Problem: nothing was recorded, with the places that were looked at.
    """
    from debugger.recording import is_recording  # brings numpy, which is slow to import

    asked = places(about)
    for number, place in enumerate(asked):
        folder = into / str(number)
        if fetch(aws, place, folder) and any(map(is_recording, (folder, *_below(folder)))):
            return folder
    profiler = (about.get("ProfilerConfig") or {}).get("S3OutputPath")
    if profiler:
        asked.append(f"{_folder(profiler)}{about['TrainingJobName']}/profiler-output/")
        fetch(aws, asked[-1], into / "profiler-output")
    if any(path.is_file() for path in into.rglob("*")):
        return into
    raise Problem(
        f"{about['TrainingJobName']} has left no recording (yet). Looked at:\n  "
        + "\n  ".join(asked)
        + "\na job records unless debugger=false and profiler=false; while it runs, only one with "
        "checkpoints can be looked at"
    )


def fetch(aws: Aws, address: str, into: Path) -> int:
    """Download what lies below an S3 address, an archive unpacked; return the number of files."""
    bucket, prefix = bucket_and_key(address)
    client = aws.client("s3")
    keys = []
    with translated(f"listing {address}"):
        for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
            keys += [one["Key"] for one in page.get("Contents", [])]
    keys = [key for key in keys if not key.endswith(("/", *_LARGE))]
    targets = [_target(into, key, prefix) for key in keys]

    def get(key: str, target: Path) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            with translated(f"downloading s3://{bucket}/{key}"):
                client.download_file(bucket, key, str(target))
        except AwsProblem as problem:
            if not problem.missing:  # a running job's file may be renamed meanwhile
                raise

    with ThreadPoolExecutor(_THREADS) as pool:
        list(pool.map(get, keys, targets))
    for target in targets:
        if target.name.endswith(".tar.gz") and target.is_file():
            unpack(target, into)
            target.unlink()
    return len(targets)


def unpack(archive: Path, into: Path) -> None:
    """Unpack an archive's files, but whole tensors and models.

    Raises:
        Problem: it is no archive, or wants to write elsewhere.
    """
    try:
        with tarfile.open(archive) as packed:
            members = [one for one in packed if not one.name.endswith(_LARGE)]
            packed.extractall(into, members, filter="data")
    except (tarfile.TarError, OSError, EOFError) as error:
        why = str(error).splitlines()[0].rstrip(":") if str(error) else type(error).__name__
        raise Problem(
            f"{archive.name}: no whole archive ({why}): name a .tar.gz, or a folder"
        ) from error


def _below(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_dir()]


def _target(into: Path, key: str, prefix: str) -> Path:
    """Where an object goes; never outside of the folder."""
    name = key.removeprefix(prefix[: prefix.rfind("/") + 1])
    target = (into / name.lstrip("/")).resolve()
    if not target.is_relative_to(into.resolve()):
        raise Problem(f"{key}: such a name is not written to disk")
    return target


def _folder(uri: str) -> str:
    return uri.rstrip("/") + "/"


def _compressed(about: dict[str, Any]) -> bool:
    return bool(about["OutputDataConfig"].get("CompressionType", "GZIP") == "GZIP")
