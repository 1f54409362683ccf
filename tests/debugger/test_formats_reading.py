"""Folders written by SageMaker and smdebug, complete or interrupted."""

import json
import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from debugger import formats, records
from debugger.formats.smdebug.statistics import statistics
from debugger.formats.tfevents import tfrecord
from debugger.formats.tfevents.events import Event, Value, encode
from debugger.recording import RecordingError, Writer
from debugger.records import End, Operators, Phase, Record, Start, Step, System

FILES = Path(__file__).parent / "files"
TIMELINE = "1795372360977037_0-algo-1_pythontimeline.json"


@pytest.fixture
def job(tmp_path: Path) -> Path:
    """The files of a job in S3: a timeline and samples of the host agent."""
    output = tmp_path / "prefix" / "job-1" / "profiler-output"
    timeline = output / "framework" / "pevents" / "2026112218"
    system = output / "system" / "incremental" / "2026112218"
    for folder in (timeline, system):
        folder.mkdir(parents=True)
    shutil.copy(FILES / TIMELINE, timeline)
    shutil.copy(FILES / "1795372320.algo-1.json", system)
    last = {"Type": "memory", "Name": "MemoryUsedPercent", "Dimension": "", "Value": 5.0}
    later = json.dumps(last | {"NodeId": "algo-1", "Timestamp": 1795372381.5})
    (system / "1795372380.algo-1.json").write_text(later + "\n")
    return tmp_path


def of(kind: type[Record], read: list[Record]) -> list[Any]:
    return [item for item in read if isinstance(item, kind)]


def test_the_files_of_a_job_in_s3_are_merged(job: Path) -> None:
    read = list(formats.read(job))
    start = read[0]
    assert isinstance(start, Start)
    assert start.job == "job-1"
    assert start.facts["recorded_by"] == "smdebug"
    assert [item.at for item in read] == sorted(item.at for item in read)
    steps, samples = of(Step, read), of(System, read)
    assert [item.step for item in steps] == list(range(len(steps)))
    assert {(item.host, item.rank) for item in read} == {("algo-1", 0)}
    initialisation, finalisation = of(Phase, read)
    assert initialisation.name == records.INITIALISATION
    assert initialisation.at == steps[0].start
    assert finalisation.name == records.FINALISATION
    assert (finalisation.start, finalisation.at) == (steps[-1].at, 1795372381.5)
    assert not of(End, read)  # the files do not have it
    first = samples[0]
    assert first.values == pytest.approx(
        {
            "cpu/0": 82.0,
            "cpu/1": 95.0,
            "cpu": 88.5,
            "iowait": 2.0,
            "memory": 4.5,
            "network_received": 0.0,
            "network_sent": 0.0,
            "disk_read": 114051334.28,
            "disk_written": 0.0,
        }
    )
    assert [item.values["memory"] for item in samples] == [4.5, 4.8, 5.0]


def test_a_step_has_its_phases_and_the_wait_before_it(job: Path) -> None:
    step = of(Step, list(formats.read(job)))[0]
    base = 1795372359.612429
    assert step.start == pytest.approx(base + 0.125139, abs=2e-6)
    assert step.at == pytest.approx(base + 0.146482 + 0.247206, abs=2e-6)
    assert [(span.name, span.seconds) for span in step.spans] == [
        (records.DATA_WAIT, 0.021005),
        (records.FORWARD, 0.097968),
        (records.BACKWARD, 0.065086),
        (records.OPTIMIZER, 0.084151),
    ]


def test_a_timeline_still_being_written_is_read(job: Path, tmp_path: Path) -> None:
    (timeline,) = job.rglob(TIMELINE)
    steps = len(of(Step, list(formats.read(job))))
    lines = timeline.read_text().splitlines()
    torn = timeline.parents[2] / "0-algo-1_pythontimeline.json.tmp"
    torn.write_text("\n".join(lines[:-3]) + '\n{"name":"ResNet","pid":1,"ph":"X","ts":14')
    timeline.unlink()
    assert 0 < len(of(Step, list(formats.read(job)))) <= steps


def test_a_process_id_in_the_file_name_becomes_rank_0(job: Path) -> None:
    (timeline,) = job.rglob(TIMELINE)
    timeline.rename(timeline.with_name(TIMELINE.replace("_0-algo-1", "_17647-algo-1")))
    assert {item.rank for item in of(Step, list(formats.read(job)))} == {0}


def test_evaluation_steps_become_an_evaluation(job: Path) -> None:
    (timeline,) = job.rglob(TIMELINE)
    text = timeline.read_text()
    assert text.count('"name":"Step:ModeKeys.TRAIN"') > 3
    timeline.write_text(text.replace("Step:ModeKeys.TRAIN", "Step:ModeKeys.EVAL"))
    read = list(formats.read(job))
    (evaluation,) = [item for item in of(Phase, read) if item.name == records.EVALUATION]
    steps = of(Step, read)
    assert (evaluation.start, evaluation.at) == (steps[0].start, steps[-1].at)


def test_operators_are_summed_by_device_without_the_operators_they_call(job: Path) -> None:
    (timeline,) = job.rglob(TIMELINE)
    start = {"start_time_since_epoch_in_micros": 1795372360000000}
    events: list[dict[str, Any]] = [
        {"name": "process_name", "ph": "M", "pid": 0, "args": start},
        {"name": "process_name", "ph": "M", "pid": 0, "args": {"name": "cpu_functions"}},
        {"name": "process_name", "ph": "M", "pid": 1, "args": {"name": "gpu_functions-dev:0"}},
    ]
    for pid, name, ts, dur in (
        (0, "linear", 0, 100),
        (0, "addmm", 10, 60),
        (0, "addmm", 80, 10),
        (0, "copy", 200, 5),
        (1, "gemm", 20, 30),
    ):
        args = {"step_num": "4", "tid": 7}
        events.append({"name": name, "pid": pid, "ph": "X", "ts": ts, "dur": dur, "args": args})
    path = timeline.with_name("1795372360000205_0-algo-1_model_timeline.json")
    path.write_text("[\n" + ",\n".join(map(json.dumps, events)) + "\n]")
    cpu, gpu = sorted(of(Operators, list(formats.read(job))), key=lambda item: item.device)
    assert (cpu.device, cpu.step, cpu.steps) == ("cpu", 4, 1)
    assert cpu.seconds == pytest.approx(205e-6, abs=2e-6)
    found = {
        item.name: (item.calls, item.self_seconds, item.total_seconds) for item in cpu.operators
    }
    assert found["linear"] == pytest.approx((1, 30e-6, 100e-6))
    assert found["addmm"] == pytest.approx((2, 70e-6, 70e-6))
    assert [item.name for item in gpu.operators] == ["gemm"]


def test_samples_of_cpu_and_gpu_close_in_time_become_one(tmp_path: Path) -> None:
    folder = tmp_path / "system" / "incremental" / "2026112218"
    folder.mkdir(parents=True)
    lines = [
        ("cpu", "cpu0", "CPUUtilization", 10.0, 100.0),
        ("cpu", "cpu0", "CPUUtilization", 20.0, 100.5),
        ("gpu", "gpu0", "GPUUtilization", 30.0, 100.1),
        ("gpu", "gpu0", "GPUUtilization", 40.0, 100.6),
    ]
    keys = ("Type", "Name", "Dimension", "Value", "Timestamp")
    text = "\n".join(json.dumps(dict(zip(keys, line, strict=True))) for line in lines)
    (folder / "0000000060.algo-2.json.tmp").write_text(text + '\n{"Type":"cpu","Na')
    samples = of(System, list(formats.read(tmp_path)))
    assert [(item.host, item.at) for item in samples] == [("algo-2", 100.0), ("algo-2", 100.5)]
    assert samples[1].values == {"cpu/0": 20.0, "cpu": 20.0, "gpu/0": 40.0}


def test_an_incomplete_event_file_without_index_is_read_as_far_as_possible(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "events" / "000000000006"
    folder.mkdir(parents=True)
    plugins = {"mode": "2", "mode_step": "2"}
    written = [
        encode(Event(100.0 + at, 6, (Value(name, value, plugins=plugins),)))
        for at, (name, value) in enumerate(
            [
                ("gradient/Net_fc.weight", array([3.0, -4.0, 0.0])),
                ("scalar/rate", array([0.5])),
                ("relu_output_0", array([1.0])),
            ]
        )
    ]
    framed = [tfrecord.frame(item, smdebug=True) for item in written]
    (folder / "000000000006_worker_3.tfevents.tmp").write_bytes(b"".join(framed)[:-9])
    read = list(formats.read(tmp_path))
    (tensors,) = of(records.Tensors, read)
    assert (tensors.rank, tensors.mode, tensors.step) == (3, "eval", 3)
    stats = tensors.values["Net_fc.weight"]
    assert (stats.min, stats.max, stats.l2, stats.zeros, stats.size) == (
        -4,
        3,
        5,
        pytest.approx(1 / 3),
        3,
    )
    (scalar,) = of(records.Scalar, read)
    assert (scalar.name, scalar.value) == ("rate", 0.5)


def array(values: list[float]) -> np.ndarray:
    return np.array(values, np.float32)


def test_statistics_count_values_that_are_not_finite() -> None:
    stats = statistics(np.array([1.0, math.nan, math.inf, 0.0], np.float16))
    assert (stats.nonfinite, stats.mean, stats.max, stats.zeros) == (0.5, 0.5, 1.0, 0.25)
    none = statistics(np.array([math.nan]))
    assert none.nonfinite == 1.0
    assert math.isnan(none.l2)
    huge = statistics(np.array([1e300, -1e300]))
    assert huge.l2 == pytest.approx(math.sqrt(2) * 1e300)
    assert huge.std == pytest.approx(1e300)


def test_a_recording_of_kennel_is_found_below_a_folder_and_read_alone(job: Path) -> None:
    with Writer(job / "a" / "recording", "algo-1", 0) as writer:
        writer.write(records.Note(5.0, "ours"))
    assert [type(item) for item in formats.read(job)] == [records.Note]
    with Writer(job / "b", "algo-1", 0) as writer:
        writer.write(records.Note(6.0, "another"))
    with pytest.raises(RecordingError, match=r"several recordings.*recording.*b"):
        formats.read(job)


def test_a_folder_without_a_recording_or_with_several_is_an_error(job: Path) -> None:
    with pytest.raises(RecordingError, match=r"tfevents.*pythontimeline.*samples|metrics"):
        formats.read(FILES.parent / "nowhere")
    (first,) = (job / "prefix").iterdir()
    shutil.copytree(first, job / "prefix" / "job-2")
    with pytest.raises(RecordingError, match=r"several jobs.*job-1.*job-2"):
        formats.read(job)
    assert of(Start, list(formats.read(job / "prefix" / "job-2")))[0].job == "job-2"
