"""Files of the real smdebug, compared with what smdebug reads; and exports, read by smdebug."""

import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from debugger import formats, records
from debugger.formats.smdebug import names
from debugger.formats.smdebug.statistics import statistics
from debugger.recording import RecordingError, Writer
from debugger.records import Record, Scalar, Span, Statistics, Step, System, Tensors
from tests.debugger.smdebug_job import HOOK, JOB
from tests.debugger.smdebug_reader import smdebug_reads


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a job with smdebug."""
    base = tmp_path_factory.mktemp("job-of-smdebug")
    config = base / "input" / "config"
    config.mkdir(parents=True)
    hook = HOOK | {"LocalPath": str(base / "debug-output")}
    (config / "debughookconfig.json").write_text(json.dumps(hook))
    profiler = {"ProfilingParameters": {"LocalPath": str(base / "profiler-output")}}
    (config / "profilerconfig.json").write_text(json.dumps(profiler))
    minute = int(time.time()) // 60 * 60
    samples = base / "profiler-output" / "system" / "incremental" / "2026112200"
    samples.mkdir(parents=True)
    (samples / f"{minute}.algo-1.json").touch()  # without this file, PandasFrame reads nothing
    done = subprocess.run(
        [sys.executable, "-c", JOB, str(base)],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return base


@pytest.fixture(scope="module")
def read(job: Path) -> list[Record]:
    """The records that Kennel reads from it."""
    return list(formats.read(job))


STATISTICS = Statistics(0.5, 1.5, -1.0, 2.0, 3.0, 0.75, 0.25, 0.0, 64, dead=0.125)


def recording(rank: int) -> Iterator[Record]:
    source: dict[str, Any] = {"rank": rank, "host": "algo-1"}
    at = 1_795_372_000.0 + rank / 1000
    yield records.Start(at, "ours", 2, at - 2, {"architecture": "resnet18"}, **source)
    yield records.Phase(at, records.INITIALISATION, at - 2, 0, **source)
    for step in range(60):
        spans = tuple(
            Span(phase, at + 0.125 * count, 0.125)
            for count, phase in enumerate(records.STEP_PHASES)
        )
        yield Step(at + 0.625, "train", step, 0, at, spans, 8, 1 / (step + 1), **source)
        if step % 20 == 0:
            for collection in (records.WEIGHTS, records.GRADIENTS):
                values = {"fc.weight": STATISTICS, "fc.bias": STATISTICS}
                yield Tensors(at + 0.625, "train", step, collection, values, **source)
            activations = {"layer1.relu": STATISTICS, "layer1.relu:1": STATISTICS}
            yield Tensors(at + 0.625, "train", step, records.ACTIVATIONS, activations, **source)
        if rank == 0:
            cores = {"cpu": 45.0, "cpu/0": 50.0, "cpu/1": 40.0, "iowait": 5.0}
            others = {"memory": 12.5, "gpu/0": 70.0, "gpu_memory/0": 30.0, "disk_read": 1e6}
            yield System(at + 0.625, cores | others, **source)
        at += 1.0
    for _ in range(3):
        forward = (Span(records.DATA_WAIT, at, 0.25), Span(records.FORWARD, at + 0.25, 0.25))
        yield Step(at + 0.5, "eval", 59, 0, at, forward, 8, 0.25, **source)
        at += 0.5
    yield records.Phase(at, records.EVALUATION, at - 1.5, 59, **source)
    yield Scalar(at, "validation:loss", 60, 1, 0.25, **source)
    yield records.End(at, "completed", **source)


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recording of two processes, with a complete tensor."""
    folder = tmp_path_factory.mktemp("ours")
    for rank in (0, 1):
        with Writer(folder, "algo-1", rank) as writer:
            for record in recording(rank):
                writer.write(record)
                if isinstance(record, Step) and record.step == 40 and record.mode == "train":
                    value = np.arange(6, dtype=np.float32).reshape(2, 3)
                    writer.write_tensor(record.at, "train", 40, records.WEIGHTS, "head", value)
    return folder


@pytest.fixture(scope="module")
def exported(ours: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same recording in smdebug's format."""
    folder = tmp_path_factory.mktemp("exports") / "job-7"
    formats.to_smdebug(formats.read(ours), folder, ours)
    return folder


@pytest.fixture(scope="module")
def by_smdebug(
    job: Path, ours: Path, exported: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    """What smdebug reads: its own files and exports. One process, because its import is slow."""
    events = tmp_path_factory.mktemp("events")
    formats.to_tensorboard(formats.read(ours), events)
    wanted = {
        "tensors": ("tensors", job / "debug-output"),
        "profile": ("profiler", job / "profiler-output"),
        "our tensors": ("tensors", exported / "debug-output"),
        "our profile": ("profiler", exported / "profiler-output"),
        "our events": ("events", next((events / "algo-1-0").iterdir())),
    }
    return dict(zip(wanted, smdebug_reads(*wanted.values()), strict=True))


@pytest.fixture(scope="module")
def theirs(by_smdebug: dict[str, Any]) -> Any:
    """What smdebug reads from its own tensors."""
    return by_smdebug["tensors"]


def steps_of(read: list[Record], mode: str) -> list[Step]:
    return [item for item in read if isinstance(item, Step) and item.mode == mode]


def values_of(read: list[Record]) -> dict[tuple[str, str, str], list[tuple[int, Statistics]]]:
    found: dict[tuple[str, str, str], list[tuple[int, Statistics]]] = {}
    for item in read:
        if isinstance(item, Tensors):
            for name, stats in item.values.items():
                found.setdefault((item.mode, item.collection, name), []).append((item.step, stats))
    return found


@pytest.mark.slow
def test_each_tensor_of_smdebug_has_the_values_that_smdebug_reads(
    read: list[Record], theirs: Any
) -> None:
    known = names.Names.of(theirs["collections"])
    ours = values_of(read)
    compared = 0
    for tensor, entries in theirs["tensors"].items():
        name = known.to_recording(tensor)
        if name.collection in (records.LOSSES, names.SCALARS):
            continue
        for mode in ("TRAIN", "EVAL"):
            wanted = [item for item in entries if item["mode"] == mode]
            got = ours.pop((mode.lower(), name.collection, name.name), [])
            assert len(got) == len(wanted), tensor
            if mode == "TRAIN":
                assert [step for step, _ in got] == [item["step"] for item in wanted], tensor
            for (_, stats), item in zip(got, wanted, strict=True):
                compared += compare(stats, item)
    assert not ours, "Kennel reads tensors that smdebug does not"
    assert compared > 200


def compare(stats: Statistics, item: Any) -> int:
    """Compare statistics with a complete tensor or its reductions; return how many values."""
    if item["value"] is not None:
        assert stats == statistics(np.array(item["value"], item["dtype"]))
        return 9
    kinds = {"mean": "mean", "std": "std", "min": "min", "max": "max", "l2": "l2"}
    for kind, value in item["reductions"].items():
        if kind == "variance":
            assert stats.std == pytest.approx(math.sqrt(value))
        elif kind == "l1":
            assert math.isnan(stats.mean_abs)  # its size was not saved
        else:
            assert getattr(stats, kinds.get(kind, "mean_abs")) == value
    if "mean" in item["reductions"]:
        assert stats.size == 5 * 4 * 6 * 6
    else:
        assert math.isnan(stats.mean)
        assert stats.size == 0
    assert math.isnan(stats.zeros)
    assert stats.nonfinite == 0  # otherwise its reductions would not be finite
    return len(item["reductions"])


@pytest.mark.slow
def test_names_are_those_of_a_recording(read: list[Record]) -> None:
    found = {(collection, name) for mode, collection, name in values_of(read) if mode == "train"}
    parameters = {"conv.weight", "conv.bias", "fc.weight", "fc.bias"}
    assert {name for kind, name in found if kind == records.WEIGHTS} == parameters
    assert {name for kind, name in found if kind == records.GRADIENTS} == parameters
    assert {name for kind, name in found if kind == records.ACTIVATIONS} == {"relu", "relu:1"}
    assert {name for kind, name in found if kind == records.INPUTS} == {"images"}


@pytest.mark.slow
def test_steps_have_the_losses(read: list[Record], theirs: Any) -> None:
    for mode in ("TRAIN", "EVAL"):
        wanted = [
            item["value"]
            for item in theirs["tensors"]["CrossEntropyLoss_output_0"]
            if item["mode"] == mode
        ]
        assert [item.loss for item in steps_of(read, mode.lower())] == wanted
        assert len(wanted) == {"TRAIN": 8, "EVAL": 6}[mode]
    evaluated = [item.step for item in steps_of(read, "eval")]
    assert evaluated == [3, 3, 3, 7, 7, 7]  # the training steps before them
    scalars = [item for item in read if isinstance(item, Scalar)]
    assert [(item.name, item.value) for item in scalars] == [("accuracy", 0.0), ("accuracy", 0.25)]


@pytest.mark.slow
def test_tensors_alone_have_steps_without_times(job: Path, theirs: Any) -> None:
    alone = list(formats.read(job / "debug-output"))
    losses = [item["value"] for item in theirs["tensors"]["CrossEntropyLoss_output_0"]]
    assert sorted(item.loss or 0 for item in alone if isinstance(item, Step)) == sorted(losses)
    assert all(not item.spans and not item.seconds for item in alone if isinstance(item, Step))
    evaluated = [item.step for item in alone if isinstance(item, Step) and item.mode == "eval"]
    assert evaluated == [3, 3, 3, 7, 7, 7]


@pytest.mark.slow
def test_the_timeline_is_the_same_as_in_pandas_frame(
    read: list[Record], by_smdebug: dict[str, Any]
) -> None:
    framework = by_smdebug["profile"]["framework"]
    wanted: dict[str, list[tuple[int, int]]] = {}
    for item in framework:
        span = (item["start_time_us"], item["end_time_us"])
        wanted.setdefault(item["process"], []).append(span)
    forward = sorted(wanted["Forward"])
    found = sorted(
        (round(span.start * 1e6), round((span.start + span.seconds) * 1e6))
        for item in read
        if isinstance(item, Step)
        for span in item.spans
    )
    assert near(found, forward)
    for mode in ("TRAIN", "EVAL"):
        steps = steps_of(read, mode.lower())
        times = [(round(item.start * 1e6), round(item.at * 1e6)) for item in steps]
        assert near(times, sorted(wanted[f"Step:ModeKeys.{mode}"]))


def near(found: list[tuple[int, int]], wanted: list[tuple[int, int]]) -> bool:
    """Whether they are equal to two microseconds, the precision of seconds in float64."""
    assert len(found) == len(wanted) > 0
    return bool(np.abs(np.subtract(found, wanted)).max() <= 2)


# ---- exports, read by smdebug ----------------------------------------------------------------
@pytest.mark.slow
def test_smdebug_reads_exported_tensors(by_smdebug: dict[str, Any]) -> None:
    read = by_smdebug["our tensors"]
    assert read["collections"]["biases"] == ["gradient/resnet18_fc.bias", "resnet18_fc.bias"][1:]
    assert set(read["collections"]["gradients"]) == {
        "gradient/resnet18_fc.bias",
        "gradient/resnet18_fc.weight",
    }
    assert read["collections"]["activations"] == ["layer1.relu_output_0", "layer1.relu_output_1"]
    for worker in ("worker_0", "worker_1"):
        losses = {
            (item["mode"], item["step"]): item["value"]
            for item in read["tensors"]["CrossEntropyLoss_output_0"]
            if item["worker"] == worker
        }
        wanted = {("TRAIN", step): float(np.float32(1 / (step + 1))) for step in range(60)}
        assert losses == wanted | {("EVAL", step): 0.25 for step in range(3)}
        reduced = [
            item
            for item in read["tensors"]["gradient/resnet18_fc.weight"]
            if item["worker"] == worker
        ]
        assert [item["step"] for item in reduced] == [0, 20, 40]
        assert reduced[0]["reductions"] == {
            "mean": 0.5, "std": 1.5, "min": -1.0, "max": 2.0, "l2": 3.0, "abs_mean": 0.75,
        }  # fmt: skip
    (complete, _) = read["tensors"]["resnet18_head"]
    assert complete["value"] == [[0, 1, 2], [3, 4, 5]]
    assert read["tensors"]["scalar/validation:loss"][0]["value"] == 0.25


@pytest.mark.slow
def test_pandas_frame_reads_an_exported_timeline_and_samples(by_smdebug: dict[str, Any]) -> None:
    read = by_smdebug["our profile"]
    counts: dict[str, int] = {}
    for item in read["framework"]:
        counts[item["process"]] = counts.get(item["process"], 0) + 1
    processes = 2
    assert counts == {
        "DataLoaderIter": processes * 63,
        "Copy": processes * 60,
        "Forward": processes * 63,
        "Backward(post-forward)": processes * 60,
        "Optimizer": processes * 60,
        "Step:ModeKeys.TRAIN": processes * 60,
        "Step:ModeKeys.EVAL": processes * 3,
        "Evaluation": processes,
    }
    first = min(
        item["start_time_us"]
        for item in read["framework"]
        if item["process"] == "Step:ModeKeys.TRAIN"
    )
    assert first == 1_795_372_000_125_000
    assert {item["training_phase"]: item["duration_max_us"] for item in read["statistics"]} == {
        "Step:ModeKeys.TRAIN": 501_000,  # two processes, one millisecond apart
        "Step:ModeKeys.EVAL": 251_000,
    }
    assert len(read["system"]) == 60 * 8
    sample = {
        (item["type"], item["system_metric"], item["dimension"]): item["value"]
        for item in read["system"]
        if item["timestamp_us"] == 1_795_372_000_625_000
    }
    assert sample == {
        ("cpu", "cpu0", "CPUUtilization"): 50.0,
        ("cpu", "cpu1", "CPUUtilization"): 40.0,
        ("cpu", "cpu0", "I/OWaitPercentage"): 5.0,
        ("cpu", "cpu1", "I/OWaitPercentage"): 5.0,
        ("memory", "MemoryUsedPercent", ""): 12.5,
        ("gpu", "gpu0", "GPUUtilization"): 70.0,
        ("gpu", "gpu0", "GPUMemoryUtilization"): 30.0,
        ("i/o", "ReadThroughputInBytesPerSecond", ""): 1e6,
    }


def test_an_export_reads_back_as_the_same_recording(ours: Path, exported: Path) -> None:
    before, after = list(formats.read(ours)), list(formats.read(exported))
    start = after[0]
    assert isinstance(start, records.Start)
    assert (start.job, start.world) == ("job-7", 2)
    assert isinstance(after[-1], records.End)
    for rank in (0, 1):
        for mode in ("train", "eval"):
            pairs = zip(
                [item for item in steps_of(before, mode) if item.rank == rank],
                [item for item in steps_of(after, mode) if item.rank == rank],
                strict=True,
            )
            for item, other in pairs:
                assert item.step == other.step
                assert item.loss == pytest.approx(other.loss, rel=1e-6)
                assert item.at == pytest.approx(other.at, abs=2e-6)
                assert [span.name for span in item.spans] == [span.name for span in other.spans]
                assert item.seconds == pytest.approx(other.seconds, abs=3e-6)
    samples = [
        [item.values for item in found if isinstance(item, System)] for found in (before, after)
    ]
    assert samples[0] == samples[1]
    held_by_1 = values_of([item for item in after if item.rank == 1])
    kept = held_by_1["train", "activations", "layer1.relu:1"]
    assert [(step, stats.l2, stats.size) for step, stats in kept] == [
        (0, 3.0, 64), (20, 3.0, 64), (40, 3.0, 64),
    ]  # fmt: skip


def test_an_export_into_a_folder_with_files_is_an_error(ours: Path, exported: Path) -> None:
    with pytest.raises(RecordingError, match="not empty"):
        formats.to_smdebug(formats.read(ours), exported)


@pytest.mark.slow
def test_tensorboard_event_files_have_valid_checksums_and_all_curves(
    by_smdebug: dict[str, Any],
) -> None:
    version, *events = by_smdebug["our events"]
    assert version == "brain.Event:2"
    curves: dict[str, list[tuple[int, float]]] = {}
    for _, step, tag, value in events:
        curves.setdefault(tag, []).append((step, value))
    assert curves["loss/train"][:2] == [(0, 1.0), (1, 0.5)]
    assert len(curves["loss/train"]) == 60
    assert curves["gradients/fc.weight/l2"] == [(0, 3.0), (20, 3.0), (40, 3.0)]
    assert curves["validation/loss"] == [(60, 0.25)]
    assert curves["system/gpu/0"][0] == (0, 70.0)
    assert curves["time/forward"][0] == (0, 0.125)
    assert curves["activations/layer1.relu/dead"][0] == (0, 0.125)
    assert "weights/fc.weight/saturated" not in curves
