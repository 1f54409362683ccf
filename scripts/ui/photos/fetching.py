"""The photos of an experiment that are in S3: how many, and a copy in a temporary folder."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from pictures.layouts.splits import NOT_PICTURES
from scripts import spec
from scripts.aws.client import Aws, translated
from scripts.console.names import bucket_and_key
from scripts.problem import Problem

_MOST_OBJECTS = 50_000
_MOST_BYTES = 4 * 2**30
_THREADS = 8


@dataclass(frozen=True)
class Object:
    """An object of a channel; `name` is its key below the channel's folder."""

    channel: str
    bucket: str
    key: str
    name: str
    size: int


def find(aws: Aws, file: Path) -> list[Object]:
    """Return the objects of an experiment's channels of photos.

    Raises:
        Problem: the experiment is wrong, or there are none, or too many to copy.
    """
    found: list[Object] = []
    for channel, about in spec.load(file).data.items():
        if channel.lower() in NOT_PICTURES:
            continue
        if about.type != "S3Prefix":
            raise Problem(f"{file}: data.{channel} is a manifest: give a folder on this machine")
        bucket, prefix = bucket_and_key(about.uri.rstrip("/") + "/")
        for one in aws.objects(bucket, prefix):
            name = one["Key"].removeprefix(prefix)
            if name and not name.endswith("/"):
                found.append(Object(channel, bucket, one["Key"], name, one["Size"]))
            if len(found) > _MOST_OBJECTS:
                raise Problem(_too_many(file))
    if not found:
        raise Problem(f"{file}: its channels have no objects: upload them, or give a folder")
    if sum(one.size for one in found) > _MOST_BYTES:
        raise Problem(_too_many(file))
    return found


def copy(
    aws: Aws,
    objects: list[Object],
    into: Path,
    stop: threading.Event,
    progress: Callable[[int], None],
) -> dict[str, str]:
    """Download objects below `into`, and return the folder of each channel.

    Raises:
        Problem: an object cannot be read, or its key leads out of the folder.
    """
    root = into.resolve()
    targets = [(root / one.channel / one.name).resolve() for one in objects]
    for one, target in zip(objects, targets, strict=True):
        if not target.is_relative_to(root / one.channel):
            raise Problem(f"{one.key}: refusing to write outside of the folder")
    client = aws.client("s3")

    def get(one: Object, target: Path) -> None:
        if stop.is_set():
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        with translated(f"downloading s3://{one.bucket}/{one.key}"):
            client.download_file(one.bucket, one.key, str(target))

    with ThreadPoolExecutor(_THREADS) as pool:
        for number, _ in enumerate(pool.map(get, objects, targets), start=1):
            progress(number)
    return {one.channel: str(root / one.channel) for one in objects}


def _too_many(file: Path) -> str:
    limits = f"{_MOST_OBJECTS:,} objects or {_MOST_BYTES // 2**30} GiB"
    return f"{file}: its channels have more than {limits}: give a folder on this machine"
