import json
import math
from pathlib import Path

import numpy as np
import pytest

from debugger import recording, records
from debugger.records import Operator, Span, Statistics

STATISTICS = Statistics(0.5, 1.5, -1.0, math.inf, math.nan, 0.7, 0.25, 0.5, 64, dead=0.125)
EVERYTHING: list[records.Record] = [
    records.Start(1.0, "job", 2, 0.5, {"layers": {"conv1": "Conv2d"}, "batch_size": 8}),
    records.Phase(2.0, records.INITIALISATION, 0.5, 0),
    records.Step(3.0, "train", 0, 0, 2.0, (Span(records.DATA_WAIT, 2.0, 0.25),), 8, math.nan),
    records.Tensors(3.0, "train", 0, records.WEIGHTS, {"fc.weight": STATISTICS}),
    records.Scalar(4.0, "validation:loss", 0, 1, -math.inf),
    records.Best(4.0, 1, {"validation:loss": 0.5, "train:loss": math.inf}),
    records.Confusion(4.0, "eval", 0, 0, 3, ((0, 1, 5), (2, 2, 1))),
    records.Trial(4.0, 2, "best", {"learning_rate": 0.1}, 7, 1, {"train:loss": math.nan}),
    records.Mistake(4.0, "test", "a/1.jpg", 2, 0, 0.75, "/9j/4AAQ"),
    records.System(5.0, {"cpu": 80.5, "gpu/0": 3.0}),
    records.Operators(6.0, "cpu", 5, 3, 0.5, (Operator("aten::conv2d", 3, 0.1, 0.2),)),
    records.Note(7.0, "degraded"),
    records.Fired(8.0, "VanishingGradient", 5, "it is 0", {"layer": "conv1", "value": 1e-9}),
    records.End(9.0, "failed", "why"),
]


def write(folder: Path, written: list[records.Record], rank: int = 0) -> None:
    with recording.Writer(folder, "algo-1", rank) as writer:
        for record in written:
            writer.write(record)


def test_every_kind_of_record_survives_writing_and_reading(tmp_path: Path) -> None:
    write(tmp_path, EVERYTHING)
    assert repr(list(recording.read(tmp_path))) == repr(EVERYTHING)  # nan != nan
    kinds = {type(record) for record in EVERYTHING} | {records.RawTensor}
    assert kinds == set(recording._KINDS.values())
    for line in (tmp_path / "algo-1-0" / "000001.jsonl").read_text().splitlines():
        json.loads(line, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))


def test_incomplete_lines_and_unknown_kinds_are_skipped(tmp_path: Path) -> None:
    write(tmp_path, EVERYTHING[:2])
    with (tmp_path / "algo-1-0" / "000001.jsonl").open("a") as file:
        file.write('{"kind":"Hologram","at":2.5}\n{"kind":"Note","at":2.5,"text":"x","new":1}\n')
        file.write('{"kind":"Scalar","at":3.0,"na')
    write(tmp_path, EVERYTHING[-1:])  # the job was restarted
    found = list(recording.read(tmp_path))
    assert repr(found) == repr([*EVERYTHING[:2], records.Note(2.5, "x"), EVERYTHING[-1]])


def test_processes_are_merged_by_time(tmp_path: Path) -> None:
    write(tmp_path, [records.Note(1.0, "a"), records.Note(3.0, "c")])
    write(tmp_path, [records.Note(2.0, "b")], rank=1)
    found = [
        (item.text, item.rank)
        for item in recording.read(tmp_path)
        if isinstance(item, records.Note)
    ]
    assert found == [("a", 0), ("b", 1), ("c", 0)]


def test_complete_tensors_are_separate_files(tmp_path: Path) -> None:
    value = np.arange(6, dtype=np.float32).reshape(2, 3)
    with recording.Writer(tmp_path, "algo-1", 0) as writer:
        writer.write_tensor(1.0, "train", 7, records.WEIGHTS, "layer1/0.weight", value)
        (record,) = recording.read(tmp_path)  # readable although the writer is not closed
    assert isinstance(record, records.RawTensor)
    assert record.name == "layer1/0.weight"
    assert np.array_equal(recording.load_tensor(tmp_path, record), value)
    (tmp_path / record.file).write_bytes(b"no")
    with pytest.raises(recording.RecordingError, match="npy"):
        recording.load_tensor(tmp_path, record)
    outside = records.RawTensor(1.0, "train", 7, "weights", "x", "../x.npy")
    with pytest.raises(recording.RecordingError, match="inside"):
        recording.load_tensor(tmp_path, outside)


def test_a_new_file_begins_when_one_is_large(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recording, "_BYTES", 100)
    write(tmp_path, [records.Note(float(at), "x" * 40) for at in range(10)])
    assert len(list((tmp_path / "algo-1-0").glob("*.jsonl"))) > 2
    assert [record.at for record in recording.read(tmp_path)] == list(range(10))


def test_a_missing_recording_and_a_newer_format_are_errors(tmp_path: Path) -> None:
    with pytest.raises(recording.RecordingError, match="holds no recording"):
        list(recording.read(tmp_path))
    write(tmp_path, EVERYTHING[:1])
    path = tmp_path / "algo-1-0" / "000001.jsonl"
    path.write_text(path.read_text().replace('"format":1', '"format":2'))
    with pytest.raises(recording.RecordingError, match="upgrade"):
        list(recording.read(tmp_path))
