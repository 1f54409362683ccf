"""The requests of a transform job: how a container wants them, and an object cut into them."""

import json
import zlib
from collections.abc import Iterator
from http import HTTPStatus
from io import BytesIO
from typing import Any, BinaryIO

from emulator.contract import Record
from emulator.errors import JobError
from emulator.runs.hosting.instance import Answer
from emulator.store.objects import Location

_MB = 1024 * 1024
# A gzip file of a few kB can hold gigabytes.
_MAX_INFLATED = 1024 * _MB
# Of containers and their variables -> of the API ("Use Your Own Inference Code with Batch
# Transform").
_STRATEGIES = {"SINGLE_RECORD": "SingleRecord", "MULTI_RECORD": "MultiRecord"}
_MOST = {"MaxConcurrentTransforms": 1000, "MaxPayloadInMB": 1024}


def environment(job: Record) -> dict[str, str]:
    """Return a container's variables: of these three settings, those that the user has set."""
    env = {"SAGEMAKER_BATCH": "true"}
    if "MaxPayloadInMB" in job:
        env["SAGEMAKER_MAX_PAYLOAD_IN_MB"] = str(job["MaxPayloadInMB"])
    if "BatchStrategy" in job:
        names = {ours: theirs for theirs, ours in _STRATEGIES.items()}
        env["SAGEMAKER_BATCH_STRATEGY"] = names[job["BatchStrategy"]]
    if job.get("MaxConcurrentTransforms"):
        env["SAGEMAKER_MAX_CONCURRENT_TRANSFORMS"] = str(job["MaxConcurrentTransforms"])
    return {**env, **job.get("Environment", {})}


def asked(answer: Answer) -> Record:
    """Return what a container answers at /execution-parameters, as members of a transform job.

    Raises:
        JobError: a value is none that a transform job can have.
    """
    try:
        given: Any = json.loads(answer.body) if answer.status == HTTPStatus.OK else {}
    except (ValueError, RecursionError):  # a container that has no such path
        return {}
    found: Record = {}
    for name in (*_MOST, "BatchStrategy") if isinstance(given, dict) else ():
        value = given.get(name)
        if value in (None, 0, ""):  # it leaves that to SageMaker
            continue
        if name == "BatchStrategy":
            value = _STRATEGIES.get(str(value), value)
            is_good = value in _STRATEGIES.values()
            wanted = " or ".join(_STRATEGIES)
        else:
            is_good = type(value) is int and 1 <= value <= _MOST[name]
            wanted = f"a whole number from 1 to {_MOST[name]}"
        if not is_good:
            raise JobError(
                f"AlgorithmError: the container's /execution-parameters has {name} "
                f"{str(value)[:100]!r}: answer {wanted}"
            )
        found[name] = value
    return found


def bodies(
    file: BinaryIO, place: Location, *, lines: bool, batching: bool, max_mb: int
) -> Iterator[bytes]:
    """Yield the request bodies: the whole object, single lines, or as many lines as fit.

    Args:
        file: the object; a record that is too long is not read to its end.
        place: where it is in S3.
        lines: whether each line is a record. Else the object is one.
        batching: whether a request has as many records as fit.
        max_mb: of a request; 0 for no limit.

    Raises:
        JobError: a record exceeds `max_mb`.
    """
    max_bytes = max_mb * _MB
    most = max_bytes + 1 if max_bytes else -1
    # Not splitlines: \r alone ends no line.
    records = iter(lambda: file.readline(most), b"") if lines else iter((file.read(most),))
    batch: list[bytes] = []
    size = 0
    for record in records:
        if max_bytes and len(record) > max_bytes:
            raise JobError(f"ClientError: a record of {place} exceeds {max_mb} MB")
        if batch and (not batching or (max_bytes and size + len(record) > max_bytes)):
            yield b"".join(batch)
            batch, size = [], 0
        batch.append(record)
        size += len(record)
    yield b"".join(batch)


def inflated(file: BinaryIO, place: Location) -> BinaryIO:
    """Return the contents of a gzip file, which can have several parts.

    Raises:
        JobError: it is not gzip, is cut short, or has too much in it.
    """
    body = file.read(_MAX_INFLATED + 1)
    parts, room = [], _MAX_INFLATED
    while body:
        stream = zlib.decompressobj(wbits=31)
        try:
            parts.append(stream.decompress(body, room))
        except zlib.error as error:
            raise JobError(f"ClientError: {place} is not gzip: {error}") from None
        room -= len(parts[-1])
        if stream.unconsumed_tail or room <= 0:
            raise JobError(f"ClientError: {place} has more than {_MAX_INFLATED // _MB} MB unpacked")
        if not stream.eof:
            raise JobError(f"ClientError: {place} is cut short: its gzip data has no end")
        body = stream.unused_data.lstrip(b"\0")  # tools pad with zeros
    return BytesIO(b"".join(parts))
