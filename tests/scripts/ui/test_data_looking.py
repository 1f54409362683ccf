"""The check of the page "Data", without a browser: the same as `kennel data check` finds."""

import shutil
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pictures import checks
from scripts.aws.client import Aws
from scripts.problem import Problem
from scripts.ui.photos import fetching, looking
from scripts.ui.photos.check import Check

LOUD = "<img src=x onerror=alert(1)>"
_COUNTS = {"train": 6, "valid": 2, "test": 2}


def photos(root: Path) -> Path:
    """Three classes in three splits; every picture is another."""
    random = np.random.default_rng(3)
    for split, count in _COUNTS.items():
        for name in ("beagle", "pug", LOUD):
            folder = root / split / name
            folder.mkdir(parents=True)
            for number in range(count):
                coarse = random.integers(0, 256, (6, 8, 3), np.uint8)
                picture = Image.fromarray(np.kron(coarse, np.ones((8, 8, 1), np.uint8)))
                picture.save(folder / f"{split}{number}.png")
    return root


def faulty(root: Path) -> Path:
    """The same with a leak, a copy and an unreadable picture."""
    photos(root)
    shutil.copy(root / "train/pug/train0.png", root / "test/pug/leaked.png")
    shutil.copy(root / "train/beagle/train1.png", root / "train/beagle/copy.png")
    (root / "train/beagle/broken <b>.png").write_bytes(b"no picture")
    return root


def conflicting(root: Path) -> Path:
    """The same with one picture in two classes."""
    photos(root)
    shutil.copy(root / "train/pug/train0.png", root / "train/beagle/same.png")
    return root


def test_the_page_finds_what_the_check_finds(tmp_path: Path, capsys: Any) -> None:
    root = faulty(tmp_path)
    found = looking.main({"channels": {"data": str(root)}, "spec": ""})
    report = checks.check(root)
    assert found["counts"] == {label: dict(own) for label, own in report.counts().items()}
    assert found["counts"]["beagle"] == {"train": 7, "valid": 2, "test": 2}
    assert found["errors"] == list(report.errors)
    assert [row[0] for row in found["unreadable"]] == ["train/beagle/broken <b>.png"]
    assert found["totals"] == {"unreadable": 1, "copies": 2, "alike": 0, "leaks": 1}
    assert [(one["leak"], one["splits"]) for one in found["groups"]] == [
        (True, ["test", "train"]),
        (False, ["train"]),
    ]
    assert {one["label"] for one in found["samples"]} == {"beagle", "pug", LOUD}
    assert '{"done": 33, "of": 33}' in capsys.readouterr().out


def test_a_label_conflict_is_named_with_both_pictures(tmp_path: Path) -> None:
    found = looking.main({"channels": {"data": str(conflicting(tmp_path))}, "spec": ""})
    assert "1 picture is in two classes" in found["errors"][0]
    assert found["conflicts"] == [
        ["beagle, pug", ["train/beagle/same.png", "train/pug/train0.png"], 2]
    ]
    assert found["counts"]["pug"] == _COUNTS


def test_what_cannot_be_checked_is_said(tmp_path: Path) -> None:
    with pytest.raises(Problem, match="no such folder"):
        looking.main({"channels": {"data": str(tmp_path / "none")}, "spec": ""})
    found = looking.main({"channels": {"data": str(tmp_path)}, "spec": ""})
    assert found["errors"]
    assert found["counts"] == {}


def test_an_object_whose_key_leads_out_of_the_folder_is_refused(
    tmp_path: Path, nowhere: None
) -> None:
    one = fetching.Object("train", "bucket", "data/../../x", "../../x", 1)
    with pytest.raises(Problem, match="outside of the folder"):
        fetching.copy(Aws("us-east-1"), [one], tmp_path, threading.Event(), lambda _done: None)


@pytest.mark.slow
def test_a_check_runs_in_its_own_process_and_can_be_cancelled(tmp_path: Path) -> None:
    root = photos(tmp_path / "photos")
    found = Check({"data": str(root)}, "").run()
    assert found
    assert found["pictures"] == 30
    with pytest.raises(Problem, match="no such folder"):
        Check({"data": str(tmp_path / "none")}, "").run()
    many = tmp_path / "many"
    for number in range(3000):
        folder = many / f"{number % 2}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number}.png").symlink_to(root / "train/pug/train0.png")
    check = Check({"data": str(many)}, "")
    thread = threading.Thread(target=check.run)
    thread.start()
    time.sleep(0.3)
    check.cancel()
    thread.join(20)
    assert not thread.is_alive()
    assert check._process
    assert check._process.poll() is not None
