"""An emulator with an empty bucket, for the tests of S3."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.emulator.client import IMAGES, Emulator

BUCKET = "objects"


@contextmanager
def with_objects(folders: pytest.TempPathFactory) -> Iterator[Emulator]:
    """Run an emulator that has the bucket."""
    emulator = Emulator(folders.mktemp("s3") / "state", IMAGES).start()
    try:
        emulator.s3.create_bucket(Bucket=BUCKET)
        yield emulator
    finally:
        emulator.end()


def body(emulator: Emulator, key: str, **more: Any) -> bytes:
    with emulator.s3.get_object(Bucket=BUCKET, Key=key, **more)["Body"] as stream:
        content: bytes = stream.read()
        return content
