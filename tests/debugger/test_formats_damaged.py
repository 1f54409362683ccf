"""Readers skip damaged content, in bounded time and memory."""

import json
import shutil
import tempfile
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from debugger import formats, records
from debugger.formats.tfevents import tfrecord, wire
from debugger.formats.tfevents.events import Event, Value, decode, encode
from debugger.formats.tfevents.wire import Damaged
from debugger.records import Record, Span, Statistics, Step, System, Tensors

STATISTICS = Statistics(0.5, 1.5, -1.0, 2.0, 3.0, 0.75, 0.25, 0.0, 64)


def recording() -> Iterator[Record]:
    for step in range(4):
        at = 1_795_372_000.0 + step
        spans = (Span(records.DATA_WAIT, at, 0.25), Span(records.FORWARD, at + 0.25, 0.25))
        yield Step(at + 0.5, "train", step, 0, at, spans, 8, 1.0)
        yield Tensors(at + 0.5, "train", step, records.GRADIENTS, {"fc.weight": STATISTICS})
        yield System(at + 0.5, {"cpu/0": 50.0, "memory": 20.0})
    yield records.End(at + 1, "completed")


@pytest.fixture(scope="module")
def intact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in smdebug's format without damage."""
    folder = tmp_path_factory.mktemp("intact") / "job"
    formats.to_smdebug(recording(), folder)
    return folder


@contextmanager
def damaged(intact: Path, data: st.DataObject) -> Iterator[Path]:
    """Truncate a file, change some bytes, or replace its content."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "job"
        shutil.copytree(intact, folder)
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        path = data.draw(st.sampled_from(files))
        content = bytearray(path.read_bytes())
        how = data.draw(st.sampled_from(["truncated", "changed", "replaced", "nested"]))
        if how == "truncated":
            del content[data.draw(st.integers(0, len(content))) :]
        elif how == "replaced":
            content = bytearray(data.draw(st.binary(max_size=300)))
        elif how == "nested":
            content = bytearray(b"[" * 100_000 + b"\n" + b'{"a":' * 100_000)
        elif content:
            for _ in range(data.draw(st.integers(1, 8))):
                place = data.draw(st.integers(0, len(content) - 1))
                content[place] = data.draw(st.integers(0, 255))
        path.write_bytes(content)
        yield folder


@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_a_damaged_file_raises_no_error(intact: Path, data: st.DataObject) -> None:
    records_before = len(list(formats.read(intact)))
    with damaged(intact, data) as folder:
        read = list(formats.read(folder))
    assert len(read) <= records_before + 20
    for item in read:
        if isinstance(item, Step):
            assert item.at >= item.start


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=6,
)
EVENT = st.fixed_dictionaries(
    {},
    optional={
        "ph": st.sampled_from(["X", "M"]) | JSON,
        "name": st.sampled_from(["process_name"]) | JSON,
        "pid": st.integers(0, 2) | JSON,
        "ts": st.integers() | JSON,
        "dur": st.integers() | JSON,
        "args": st.fixed_dictionaries(
            {},
            optional={
                "name": st.sampled_from(["Forward", "Step:ModeKeys.TRAIN", "cpu_functions"]) | JSON,
                "step_num": st.integers(0, 9).map(str) | JSON,
                "start_time_since_epoch_in_micros": st.integers() | JSON,
            },
        )
        | JSON,
    },
)
SAMPLE = st.fixed_dictionaries(
    {},
    optional={
        "Timestamp": st.floats(0, 1e10) | JSON,
        "Value": st.floats() | JSON,
        "Name": st.sampled_from(["cpu0", "MemoryUsedPercent"]) | JSON,
        "Dimension": st.sampled_from(["CPUUtilization", "I/OWaitPercentage"]) | JSON,
    },
)
INDEX = st.fixed_dictionaries(
    {},
    optional={
        name: st.lists(
            st.fixed_dictionaries(
                {},
                optional={
                    "tensorname": st.just("CrossEntropyLoss_output_0") | JSON,
                    "start_idx": st.integers() | JSON,
                    "shape": st.lists(st.integers()) | JSON,
                },
            ),
            max_size=3,
        )
        | JSON
        for name in ("tensor_payload", "shape_payload")
    },
)
LISTED = st.dictionaries(st.text(max_size=4), st.fixed_dictionaries({"tensor_names": JSON}) | JSON)


@settings(deadline=None, max_examples=60)
@given(
    events=st.lists(EVENT | JSON, max_size=6),
    samples=st.lists(SAMPLE | JSON, max_size=6),
    index=INDEX | JSON,
    listed=st.fixed_dictionaries({"collections": LISTED | JSON}),
)
def test_json_of_any_shape_is_read_or_skipped(
    intact: Path, events: list[Any], samples: list[Any], index: Any, listed: Any
) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "job"
        shutil.copytree(intact, folder)
        (timeline,) = folder.rglob("*_pythontimeline.json")
        timeline.write_text("[\n" + ",\n".join(map(json.dumps, events)) + "\n]")
        (system,) = folder.rglob("system/*/*/*.json")
        system.write_text("\n".join(map(json.dumps, samples)))
        next(folder.rglob("index/*/*.json")).write_text(json.dumps(index))
        (collections,) = folder.rglob("*_collections.json")
        collections.write_text(json.dumps(listed))
        read = list(formats.read(folder))
    assert isinstance(read[0], records.Start)
    assert len([item for item in read if isinstance(item, Tensors)]) == 4


@settings(deadline=None, max_examples=300)
@given(st.binary(max_size=200))
def test_any_bytes_decode_to_an_event_or_raise_damaged(message: bytes) -> None:
    try:
        event = decode(memoryview(message))
    except Damaged:
        return
    for value in event.values:
        assert value.tensor is None or value.tensor.nbytes <= 4 * len(message)


@settings(deadline=None, max_examples=100)
@given(
    st.sampled_from(["f2", "f4", "f8", "i4", "u1", "i1", "i8", "?"]),
    st.lists(st.integers(0, 4), max_size=3),
    st.integers(-(2**63), 2**63 - 1),
    st.text(max_size=9),
)
def test_an_event_survives_encoding_and_decoding(
    kind: str, shape: list[int], step: int, tag: str
) -> None:
    tensor = np.arange(np.prod(shape, dtype=int)).reshape(shape).astype(kind)
    written = encode(Event(1.5, step, (Value(tag, tensor, plugins={"mode": "1"}),)))
    read = decode(memoryview(written))
    (value,) = read.values
    assert (read.at, read.step, value.tag) == (1.5, step, tag.encode().decode())
    assert value.tensor is not None
    assert value.tensor.dtype == tensor.dtype
    assert np.array_equal(value.tensor, tensor)
    assert value.plugins == {"mode": "1"}


LARGE = wire.put_bytes(2, wire.put_number(1, 1 << 40))  # a dimension


@pytest.mark.parametrize(
    "message",
    [
        wire.put_bytes(5, wire.put_bytes(1, wire.put_bytes(8, content)))
        for content in (
            wire.put_number(1, 1) + wire.put_bytes(2, LARGE),
            wire.put_number(1, 1) + wire.put_bytes(4, b"123"),
            wire.put_number(1, 1) + b"\x22\xff\xff\xff\xff\x0f",
        )
    ],
    ids=["a shape larger than the content", "half an element", "a length past the end"],
)
def test_a_tensor_that_contradicts_its_header_is_damaged(message: bytes) -> None:
    with pytest.raises(Damaged):
        decode(memoryview(message))


def test_a_false_length_allocates_no_memory(tmp_path: Path) -> None:
    path = tmp_path / "x.tfevents"
    length = (1 << 40).to_bytes(8, "little")
    path.write_bytes(length + tfrecord.checksum(length).to_bytes(4, "little") + b"x" * 100)
    timeline = tmp_path / "0-algo-1_pythontimeline.json.tmp"
    timeline.write_bytes(b"[" + b"9" * (16 << 20))  # one line that is not an event
    tracemalloc.start()
    assert list(tfrecord.records(path)) == []
    assert [type(item) for item in formats.read(tmp_path)] == []
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 8 << 20
