"""Pictures that cannot be read, in a whole job."""

import json
import shutil
from pathlib import Path

import pytest

from pictures.picture import DataError
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
