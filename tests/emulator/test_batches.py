"""How an object is cut into the requests of a transform job, and what a container may ask for."""

import gzip
import io
import json

import pytest

from emulator.errors import JobError
from emulator.runs import batches
from emulator.runs.hosting.instance import Answer
from emulator.store.objects import Location

PLACE = Location("bucket", "key")
MB = 1024 * 1024


def bodies(body: bytes, *, lines: bool = True, batching: bool = True, mb: int = 1) -> list[bytes]:
    made = batches.bodies(io.BytesIO(body), PLACE, lines=lines, batching=batching, max_mb=mb)
    return list(made)


def test_only_a_newline_ends_a_record() -> None:
    body = b"1,a\rb\r\n2\n\n3"
    assert bodies(body, batching=False) == [b"1,a\rb\r\n", b"2\n", b"\n", b"3"]
    assert bodies(body) == bodies(body, lines=False) == [body]
    assert bodies(b"") == bodies(b"", lines=False) == [b""]


def test_a_request_has_as_many_records_as_fit() -> None:
    line = b"x" * (MB // 4 - 1) + b"\n"
    assert [len(body) for body in bodies(9 * line)] == [MB, MB, MB // 4]
    assert bodies(9 * line, mb=0) == [9 * line]
    assert b"".join(bodies(b"1\n" * MB)) == b"1\n" * MB


@pytest.mark.parametrize("lines", [True, False])
def test_a_record_that_is_too_long_is_not_read_to_its_end(lines: bool) -> None:
    file = io.BytesIO(b"x" * 3 * MB)
    with pytest.raises(JobError, match="a record of s3://bucket/key exceeds 1 MB"):
        list(batches.bodies(file, PLACE, lines=lines, batching=True, max_mb=1))
    assert file.tell() <= 2 * MB


def test_gzip_in_parts_is_unpacked() -> None:
    packed = gzip.compress(b"1\n") + gzip.compress(b"2\n") + bytes(8)
    assert batches.inflated(io.BytesIO(packed), PLACE).read() == b"1\n2\n"
    with pytest.raises(JobError, match="cut short"):
        batches.inflated(io.BytesIO(packed[:10]), PLACE)


def test_variables_are_those_that_the_user_has_set() -> None:
    job = {"MaxPayloadInMB": 0, "MaxConcurrentTransforms": 0, "BatchStrategy": "SingleRecord"}
    assert batches.environment({"Environment": {"A": "b"}}) == {"SAGEMAKER_BATCH": "true", "A": "b"}
    assert batches.environment(job) == {
        "SAGEMAKER_BATCH": "true",
        "SAGEMAKER_MAX_PAYLOAD_IN_MB": "0",
        "SAGEMAKER_BATCH_STRATEGY": "SINGLE_RECORD",
    }


def asked(body: object, status: int = 200) -> dict[str, object]:
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    return batches.asked(Answer(status, text, {}))


def test_what_a_container_asks_for() -> None:
    wanted = {"MaxConcurrentTransforms": 8, "MaxPayloadInMB": 6}
    both = wanted | {"BatchStrategy": "MULTI_RECORD", "Other": 1}
    assert asked(both) == wanted | {"BatchStrategy": "MultiRecord"}
    assert asked({"MaxConcurrentTransforms": 0, "MaxPayloadInMB": None}) == {}
    for silent in (b"<html>", b"", b"[" * 100_000, [1]):
        assert asked(silent) == {}
    assert asked(wanted, status=404) == {}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MaxConcurrentTransforms", "8"),
        ("MaxConcurrentTransforms", -1),
        ("MaxConcurrentTransforms", True),
        ("MaxConcurrentTransforms", 10**9),
        ("MaxPayloadInMB", 2.5),
        ("BatchStrategy", "single"),
        ("BatchStrategy", ["SINGLE_RECORD"]),
    ],
)
def test_what_a_container_cannot_ask_for(name: str, value: object) -> None:
    with pytest.raises(JobError, match=f"AlgorithmError: .*/execution-parameters has {name}"):
        asked({name: value})
