"""scripts/make/local.py without Docker: the files, the commands and the errors."""

import json
import re
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from scripts.make import local
from scripts.problem import Problem

ROOT = Path(__file__).parents[2]


def test_the_folders_are_sagemakers(tmp_path: Path) -> None:
    local.write_job(tmp_path, {"epochs": "2"})
    config = tmp_path / "input" / "config"
    written = {path.stem: json.loads(path.read_text()) for path in config.iterdir()}
    assert written["hyperparameters"] == {"epochs": "2"}
    assert written["resourceconfig"]["hosts"] == [written["resourceconfig"]["current_host"]]
    assert list(written["inputdataconfig"]) == ["train"]
    for folder in ("model", "output/data", "checkpoints"):
        assert (tmp_path / folder).is_dir()


def test_an_old_failure_file_is_deleted(tmp_path: Path) -> None:
    local.write_job(tmp_path, {})
    (tmp_path / "output" / "failure").write_text("an old failure")
    (tmp_path / "checkpoints" / "step-1").touch()
    local.write_job(tmp_path, {})
    assert not (tmp_path / "output" / "failure").exists()
    assert (tmp_path / "checkpoints" / "step-1").exists()


def test_training_mounts_folders_in_opt_ml_only(tmp_path: Path) -> None:
    command = local.train_command("image:tag", tmp_path / "photos", tmp_path / "out", [])
    assert command[-2:] == ["image:tag", "train"]
    targets = re.findall(r":(/opt/ml\S*)", " ".join(command))
    assert sorted(targets) == [
        "/opt/ml/checkpoints",
        "/opt/ml/input/config:ro",
        "/opt/ml/input/data/train:ro",
        "/opt/ml/model",
        "/opt/ml/output",
    ]


def test_both_commands_get_the_gpus(tmp_path: Path) -> None:
    gpus = ["--gpus", "all"]
    assert " ".join(gpus) in " ".join(local.train_command("i", tmp_path, tmp_path, gpus))
    assert " ".join(gpus) in " ".join(local.serve_command("i", tmp_path, 8080, gpus))


def test_serving_listens_on_loopback_only(tmp_path: Path) -> None:
    command = local.serve_command("image:tag", tmp_path, 8123, [])
    assert command[-2:] == ["image:tag", "serve"]
    assert command[command.index("--publish") + 1] == "127.0.0.1:8123:8080"


def test_a_model_archive_is_unpacked(tmp_path: Path) -> None:
    (tmp_path / "kennel.json").write_text("{}")
    with tarfile.open(tmp_path / "model.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / "kennel.json", arcname="kennel.json")
    folder = local.unpacked(tmp_path / "model.tar.gz")
    assert [path.name for path in folder.iterdir()] == ["kennel.json"]
    assert local.unpacked(folder) == folder
    assert local.unpacked(tmp_path / "model.tar.gz") == folder  # unpacked once
    assert len(list(tmp_path.iterdir())) == 3


def test_an_archive_that_leaves_its_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "inside").mkdir()
    packed = tmp_path / "inside" / "model.tar.gz"
    with tarfile.open(packed, "w:gz") as archive:
        archive.add(__file__, arcname="../outside")
    with pytest.raises(Problem, match=r"model\.tar\.gz: the name \.\./outside leaves the folder"):
        local.unpacked(packed)
    assert [path.name for path in tmp_path.iterdir()] == ["inside"]
    assert list(packed.parent.iterdir()) == [packed]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "--image", "i", "--data", "", "--out", "o"], "DATA is not a folder"),
        (["train", "--image", "i", "--data", "/none", "--out", "o"], "DATA is not a folder"),
        (["train", "--image", "i", "--data", "docs", "--out", "o", "x"], "'x' is not name=value"),
        (
            ["serve", "--image", "i", "--model", "/none", "--port", "1"],
            "MODEL=/none does not",
        ),
        (["invoke", "--port", "9", ""], "IMAGE is not a file"),
        (["invoke", "--port", "9", "LICENSE"], "nothing answers on port 9"),
    ],
)
def test_wrong_arguments_are_explained(
    arguments: list[str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    with pytest.raises(Problem, match=message):
        local.main(arguments)


def test_an_error_is_one_line_without_a_traceback() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "scripts.make.local", "invoke", "--port", "9", ""],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr == "IMAGE is not a file: give a picture\n"
