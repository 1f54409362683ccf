"""Gets a job's recording from S3 or an archive.

A job records into its checkpoint folder if it has one, else into its output. AWS's own files are
below the S3 paths of the debug hook and the profiler.
"""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from pictures import archive as unpacker
from scripts.aws.client import Aws, AwsProblem, translated
from scripts.console.names import bucket_and_key
from scripts.problem import Problem

_THREADS = 16
# Whole tensors are large, and a report does not need them.
_SKIPPED = (".npy", ".pt", ".safetensors", ".partial")
_LIMITS = unpacker.Limits(members=200_000)  # smdebug writes a file for each step


def places(about: dict[str, Any]) -> list[str]:
    """Return the S3 addresses where a training job's recording can be, most likely first.

    Args:
        about: the answer of DescribeTrainingJob.
    """
    name = about["TrainingJobName"]
    found = []
    if hook := about.get("DebugHookConfig"):
        found.append(f"{_folder(hook['S3OutputPath'])}{name}/debug-output/")
    if checkpoints := about.get("CheckpointConfig"):
        found.append(f"{_folder(checkpoints['S3Uri'])}{name}/recording/")
    if config := about.get("OutputDataConfig"):
        output = f"{_folder(config['S3OutputPath'])}{name}/output/output"
        found.append(f"{output}.tar.gz" if _compressed(config) else f"{output}/")
    return found


def fetch_job(aws: Aws, about: dict[str, Any], into: Path) -> Path:
    """Download a training job's recording below `into`, and return its folder.

    Raises:
        Problem: there is no recording; the message lists the addresses searched.
    """
    from debugger.recording import is_recording  # brings numpy, which is slow to import

    searched = places(about)
    for number, address in enumerate(searched):
        folder = into / str(number)
        if fetch(aws, address, folder) and any(map(is_recording, (folder, *_below(folder)))):
            return folder
    profiler = (about.get("ProfilerConfig") or {}).get("S3OutputPath")
    if profiler:
        searched.append(f"{_folder(profiler)}{about['TrainingJobName']}/profiler-output/")
        fetch(aws, searched[-1], into / "profiler-output")
    if any(path.is_file() for path in into.rglob("*")):
        return into
    raise Problem(
        f"{about['TrainingJobName']} has no recording (yet). Searched:\n  "
        + "\n  ".join(searched)
        + "\na job records unless debugger=false and profiler=false; while it runs, this needs "
        "training.checkpoints"
    )


def fetch(aws: Aws, address: str, into: Path) -> int:
    """Download all files below an S3 address, unpack archives, and return the number of files."""
    bucket, prefix = bucket_and_key(address)
    client = aws.client("s3")
    keys = [one["Key"] for one in aws.objects(bucket, prefix)]
    keys = [key for key in keys if not key.endswith(("/", *_SKIPPED))]
    targets = [_target(into, key, prefix) for key in keys]

    def get(key: str, target: Path) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            with translated(f"downloading s3://{bucket}/{key}"):
                client.download_file(bucket, key, str(target))
        except AwsProblem as problem:
            if not problem.missing:  # a running job renames files
                raise

    with ThreadPoolExecutor(_THREADS) as pool:
        list(pool.map(get, keys, targets))
    for target in targets:
        if target.name.endswith(".tar.gz") and target.is_file():
            unpack(target, target.with_name(f"{target.name}.unpacked"))
            target.unlink()
    return len(targets)


def unpack(archive: Path, into: Path) -> None:
    """Unpack an archive into an empty folder, except whole tensors and models.

    Raises:
        Problem: it is damaged, or refused as `pictures.archive.unpack` does.
    """
    try:
        unpacker.unpack(
            archive, into, wanted=lambda name: not name.endswith(_SKIPPED), limits=_LIMITS
        )
    except (unpacker.ArchiveError, OSError) as error:
        raise Problem(f"{error}: give a .tar.gz of a recording, or a folder") from error


def _below(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_dir()]


def _target(into: Path, key: str, prefix: str) -> Path:
    """The path for an object; never outside of the folder."""
    name = key.removeprefix(prefix[: prefix.rfind("/") + 1])
    target = (into / name.lstrip("/")).resolve()
    if not target.is_relative_to(into.resolve()):
        raise Problem(f"{key}: refusing to write outside of the folder")
    return target


def _folder(uri: str) -> str:
    return uri.rstrip("/") + "/"


def _compressed(config: dict[str, Any]) -> bool:
    return bool(config.get("CompressionType", "GZIP") == "GZIP")
