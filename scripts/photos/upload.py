"""A folder of photos into S3: in parallel, only what changed, with a manifest of checksums.

The manifest, `manifest.json` under the address, says what lies there. It is written now and then
while uploading, so that a run that was cut off goes on where it was. Training passes it over.
"""

import base64
import hashlib
import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pictures.checks import LITTER
from scripts.aws.client import Aws, AwsProblem, translated
from scripts.console.names import bucket_and_key
from scripts.problem import Problem

MANIFEST = "manifest.json"
_THREADS = 16
# Files between two writings of the manifest.
_SAVE_EVERY = 500


@dataclass(frozen=True)
class Plan:
    """What an upload has to do. `same` is how many files lie there already, unchanged."""

    bucket: str
    prefix: str
    send: dict[str, Path]
    gone: tuple[str, ...]
    same: int
    digests: dict[str, str]

    @property
    def size(self) -> int:
        """Bytes to send."""
        return sum(path.stat().st_size for path in self.send.values())


def local_files(root: Path) -> dict[str, Path]:
    """Key below the address -> file; what tools leave among pictures is passed over.

    Raises:
        Problem: no folder, or an empty one.
    """
    if not root.is_dir():
        raise Problem(f"{root} is no folder: name the one with the photos")
    found = {
        path.relative_to(root).as_posix(): path
        for path in sorted(root.rglob("*"))
        if path.is_file() and not _litter(path.relative_to(root))
    }
    if not found:
        raise Problem(f"{root} holds no files")
    return found


def plan(aws: Aws, root: Path, address: str) -> Plan:
    """Compare the folder with what the manifest and the bucket say lies at `address`.

    A file counts as there when the manifest has its digest and the bucket has an object of its
    size: a manifest that tells of more than there is, or an object someone overwrote with another
    size, leads to a new upload.
    """
    bucket, prefix = bucket_and_key(address.rstrip("/") + "/")
    files = local_files(root)
    with ThreadPoolExecutor(_THREADS) as pool:
        digests = dict(zip(files, pool.map(_digest, files.values()), strict=True))
    sizes = dict(_objects(aws, bucket, prefix))
    before = _manifest(aws, bucket, prefix)
    same = {
        key
        for key, path in files.items()
        if before.get(key) == digests[key] and sizes.get(key) == path.stat().st_size
    }
    return Plan(
        bucket=bucket,
        prefix=prefix,
        send={key: path for key, path in files.items() if key not in same},
        gone=tuple(sorted(sizes.keys() - files.keys() - {MANIFEST})),
        same=len(same),
        digests=digests,
    )


def run(aws: Aws, todo: Plan, progress: Callable[[int], None] = lambda _bytes: None) -> None:
    """Send what is to be sent; S3 checks every object against its SHA-256.

    Args:
        aws: clients.
        todo: from `plan`.
        progress: called with the bytes of each file that has arrived.

    Raises:
        AwsProblem: the first refusal; what has arrived by then is in the manifest.
    """
    client = aws.client("s3")
    arrived = {key: digest for key, digest in todo.digests.items() if key not in todo.send}

    def send(key: str, path: Path) -> int:
        checksum = base64.b64encode(bytes.fromhex(todo.digests[key])).decode()
        with path.open("rb") as content, translated(f"uploading {path}"):  # a shard is large
            client.put_object(
                Bucket=todo.bucket,
                Key=todo.prefix + key,
                Body=content,
                ChecksumSHA256=checksum,
            )
        return path.stat().st_size

    try:
        with ThreadPoolExecutor(_THREADS) as pool:
            sending = {pool.submit(send, key, path): key for key, path in todo.send.items()}
            try:
                for number, done in enumerate(as_completed(sending), 1):
                    progress(done.result())
                    arrived[sending[done]] = todo.digests[sending[done]]
                    if number % _SAVE_EVERY == 0:
                        _write_manifest(client, todo, arrived)
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
    finally:
        _write_manifest(client, todo, arrived)


def _write_manifest(client: Any, todo: Plan, arrived: dict[str, str]) -> None:
    body = json.dumps({"sha256": dict(sorted(arrived.items()))}, indent=1).encode()
    with translated("writing the manifest"):
        client.put_object(Bucket=todo.bucket, Key=todo.prefix + MANIFEST, Body=body)


def _manifest(aws: Aws, bucket: str, prefix: str) -> dict[str, str]:
    try:
        with translated("reading the manifest"):
            answer = aws.client("s3").get_object(Bucket=bucket, Key=prefix + MANIFEST)
            content: dict[str, str] = json.loads(answer["Body"].read())["sha256"]
            return content
    except AwsProblem as problem:
        if problem.missing:
            return {}
        raise
    except (ValueError, KeyError, TypeError):
        return {}  # another's manifest.json: everything is sent again


def _objects(aws: Aws, bucket: str, prefix: str) -> Iterator[tuple[str, int]]:
    with translated(f"listing s3://{bucket}/{prefix}"):
        pages = aws.client("s3").get_paginator("list_objects_v2")
        for page in pages.paginate(Bucket=bucket, Prefix=prefix):
            for one in page.get("Contents", []):
                yield one["Key"].removeprefix(prefix), one["Size"]


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _litter(path: Path) -> bool:
    return any(part.startswith(".") or part in LITTER for part in path.parts)
