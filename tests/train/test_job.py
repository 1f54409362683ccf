"""Pictures that cannot be read, in a whole job."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from pictures.picture import DataError
from tests.pictures.inputs import png
from tests.train.recorded import Recorded

QUIET = {"debugger": False, "profiler": False, "epochs": 1}


def test_unreadable_photos_are_skipped_up_to_the_limit(
    few_digits: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "data"
    shutil.copytree(few_digits, data)
    (data / "train" / "0" / "empty.png").write_bytes(b"")
    whole = next((data / "train" / "1").iterdir()).read_bytes()
    (data / "train" / "1" / "short.png").write_bytes(whole[: len(whole) // 2])
    job = Recorded.lay_out(tmp_path / "job", data, **QUIET).run()
    log = capsys.readouterr().out
    assert "skipped unreadable picture" in log
    assert "empty.png: the picture is empty (0 bytes)" in log
    metrics = json.loads((job.job.output_dir / "metrics.json").read_text())
    assert sorted(Path(name).name for name in metrics["unreadable"]) == ["empty.png", "short.png"]

    strict = Recorded.lay_out(tmp_path / "strict", data, **QUIET, max_unreadable=0)
    with pytest.raises(DataError, match=r"cannot be read, 0 are allowed \(max_unreadable\)"):
        strict.run()


def test_a_job_on_a_table_of_labels_and_its_remarks(
    few_digits: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "data"
    data.mkdir()
    rows = ["picture,digit,split"]
    for number, path in enumerate(sorted(few_digits.rglob("*.png"))):
        split, label, _ = path.relative_to(few_digits).parts
        shutil.copy(path, data / f"{number}.png")
        rows.append(f"{number},{label},{split}")
    dark = np.random.default_rng(0).integers(0, 4096, (8, 8, 1), np.uint16)
    (data / "dark.png").write_bytes(png(dark, 0, 16))
    (data / "digits.csv").write_text("\n".join([*rows, "dark.png,0,train"]))
    job = Recorded.lay_out(tmp_path / "job", data, **QUIET, label_column="digit").run()
    log = capsys.readouterr().out
    assert "labels are read from digits.csv: 201 rows, pictures by 'picture'" in log
    remark = "use 12 of 16 bits and nothing in the file says so"
    assert log.count(remark) == 1
    metrics = json.loads((job.job.output_dir / "metrics.json").read_text())
    (named,) = metrics["remarks"]
    assert remark in named
    assert metrics["remarks"][named] == 1
    assert metrics["test"]["pictures"] == len(list((few_digits / "test").rglob("*.png")))
