"""Uploads a folder of photos to S3: in parallel, only changed files, with a manifest of checksums.

`manifest.json` below the address lists what was uploaded. It is also written during the upload, so
that an interrupted upload continues where it stopped. Training ignores it.
"""

import base64
import hashlib
import json
import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import Any

from pictures.layouts.litter import lies_in_litter
from pictures.layouts.names import check_names
from pictures.layouts.walk import files_below
from pictures.picture import DANGLING, LITTER, SPECIAL, DataError, Passed, shorten
from scripts.aws.client import Aws, AwsProblem, translated
from scripts.console.names import bucket_and_key
from scripts.photos import links
from scripts.problem import Problem

MANIFEST = "manifest.json"
_THREADS = 16
# Files up to this size are read whole; each thread holds one.
AT_ONCE = 2**20
# The manifest is written after this many files.
_SAVE_EVERY = 500


@dataclass(frozen=True)
class Plan:
    """What to upload. `same` has the SHA-256 of each file in S3 that has not changed."""

    bucket: str
    prefix: str
    send: dict[str, Path]
    extra: tuple[str, ...]
    same: dict[str, str]

    @property
    def size(self) -> int:
        """Bytes to send."""
        return sum(path.stat().st_size for path in self.send.values())


def local_files(root: Path, *, follow_links: bool = False) -> dict[str, Path]:
    """Return key below the address -> file; files such as .DS_Store are skipped.

    Links out of the folder are skipped too unless `follow_links`; `links.not_followed` names them.

    Raises:
        Problem: there is no such folder, it is empty, names go wrong in S3 or in the job, or files
            cannot be read.
    """
    if not root.is_dir():
        raise Problem(f"{root} is not a folder: give the one with the photos")
    found = {
        path.relative_to(root).as_posix(): path
        for path in links.files_below(root, follow=follow_links)
        if not lies_in_litter(path.relative_to(root))
    }
    if not found:
        raise Problem(f"{root} has no files")
    try:
        check_names(root, found)
    except DataError as error:
        raise Problem(str(error)) from error
    if closed := [key for key, path in found.items() if not os.access(path, os.R_OK)]:
        raise Problem(
            f"{root}: no permission to read {shorten(closed)}: make them readable, or move them"
        )
    return found


def passed_over(root: Path) -> str:
    """Return a sentence on what is not uploaded: litter, dead links, pipes; empty if nothing."""
    passed = Passed()
    files_below(root, passed)
    shown = Passed()
    for reason in (LITTER, DANGLING, SPECIAL):
        for path in passed.found.get(reason, ()):
            if path != str(root / MANIFEST):
                shown.add(reason, path)
    return shown.sentence(root)


def plan(aws: Aws, root: Path, address: str, *, follow_links: bool = False) -> Plan:
    """Compare the folder with the manifest and the objects at `address`.

    A file counts as uploaded if the manifest has its digest and S3 has an object of its size. So a
    wrong manifest, or an object that was overwritten with another size, leads to a new upload.
    Only files that can be unchanged are read here.
    """
    bucket, prefix = bucket_and_key(address.rstrip("/") + "/")
    files = local_files(root, follow_links=follow_links)
    sizes = {one["Key"].removeprefix(prefix): one["Size"] for one in aws.objects(bucket, prefix)}
    uploaded = _manifest(aws, bucket, prefix)
    known = {
        key: path
        for key, path in files.items()
        if key in uploaded and sizes.get(key) == path.stat().st_size
    }
    with ThreadPoolExecutor(_THREADS) as pool:
        digests = dict(zip(known, pool.map(_digest, known.values()), strict=True))
    same = {key: digest for key, digest in digests.items() if uploaded[key] == digest}
    return Plan(
        bucket=bucket,
        prefix=prefix,
        send={key: path for key, path in files.items() if key not in same},
        extra=tuple(sorted(sizes.keys() - files.keys() - {MANIFEST})),
        same=same,
    )


def run(aws: Aws, todo: Plan, progress: Callable[[int], None] = lambda _bytes: None) -> None:
    """Upload the files of the plan; S3 checks the SHA-256 of every object.

    Args:
        aws: clients.
        todo: from `plan`.
        progress: called with the size of each uploaded file, in bytes.

    Raises:
        AwsProblem: an upload failed; the manifest lists the files uploaded before.
    """
    client = aws.client("s3")
    uploaded = dict(todo.same)

    def send(key: str, path: Path) -> tuple[int, str]:
        with path.open("rb") as file, translated(f"uploading {path}"):
            body, digest = _content(file)
            client.put_object(
                Bucket=todo.bucket,
                Key=todo.prefix + key,
                Body=body,
                ChecksumSHA256=base64.b64encode(digest).decode(),
            )
        return path.stat().st_size, digest.hex()

    sending: dict[Future[tuple[int, str]], str] = {}
    pool = ThreadPoolExecutor(_THREADS)
    try:
        for key, path in todo.send.items():
            sending[pool.submit(send, key, path)] = key
        for number, done in enumerate(as_completed(sending), 1):
            size, uploaded[sending[done]] = done.result()
            progress(size)
            if number % _SAVE_EVERY == 0:
                _write_manifest(client, todo, uploaded)
    finally:
        # After an error or Ctrl-C, the files under way are sent to their end and count as uploaded.
        pool.shutdown(cancel_futures=True)
        for done, key in sending.items():
            if done.done() and not done.cancelled() and done.exception() is None:
                uploaded[key] = done.result()[1]
        _write_manifest(client, todo, uploaded)


def _content(file: BufferedReader) -> tuple[bytes | BufferedReader, bytes]:
    """Return what to send and its SHA-256.

    A small file's bytes go out at once, and are read once. A large file is streamed.
    """
    content = file.read(AT_ONCE + 1)
    if len(content) <= AT_ONCE:
        return content, hashlib.sha256(content).digest()
    file.seek(0)
    digest = hashlib.file_digest(file, "sha256").digest()
    file.seek(0)
    return file, digest


def _write_manifest(client: Any, todo: Plan, uploaded: dict[str, str]) -> None:
    body = json.dumps({"sha256": dict(sorted(uploaded.items()))}, indent=1).encode()
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
        return {}  # not our manifest.json: upload everything


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
