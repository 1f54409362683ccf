"""The first hour: an empty emulator, a folder of photos, eight commands to an answer and back."""

import json
import shutil
import tomllib
from collections.abc import Iterator
from pathlib import Path

import boto3  # type: ignore[import-untyped]
import pytest

from scripts import spec
from tests.scripts.conftest import run_emulator, use_endpoint
from tests.scripts.kennel import Outcome, kennel

# A network that trains on digits in seconds on two cores; the file's own has 50 layers.
QUICK = [
    "--set", "hyperparameters.architecture=resnet18",
    "--set", "hyperparameters.weights=none",
    "--set", "hyperparameters.trainable=all",
    "--set", "hyperparameters.image_size=32",
    "--set", "hyperparameters.epochs=1",
    "--set", "hyperparameters.optimizer=adamw",
    "--set", "tuning.strategy=grid",
    "--set", "tuning.ranges.learning_rate=[0.0003, 0.003]",
    "--set", "tuning.ranges.batch_size=[16]",
]  # fmt: skip


@pytest.fixture
def photos(few_digits: Path, tmp_path: Path) -> Path:
    """Class folders without splits, as a newcomer has them."""
    folder = tmp_path / "My Digits"
    for split in ("train", "valid", "test"):
        shutil.copytree(few_digits / split, folder, dirs_exist_ok=True)
    return folder


def test_init_writes_an_experiment_that_is_valid(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "spec.toml"
    made = kennel("init", str(photos), "--emulator", "--out", str(out))
    assert made.code == 0, made.err
    experiment = spec.load(out, ())
    assert experiment.name == "my-digits"
    assert experiment.could_sweep or experiment.tuning
    count = len(list(photos.rglob("*.png")))
    assert f"# {count:,} pictures in 10 classes (the job splits off" in out.read_text()
    again = kennel("init", str(photos), "--emulator", "--out", str(out))
    assert again.code == 1
    assert f"{out} exists" in again.err


def test_init_refuses_what_the_job_would_refuse(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    done = kennel("init", str(tmp_path), "--emulator", "--out", str(tmp_path / "spec.toml"))
    assert done.code == 1
    assert "one" in done.err
    assert not (tmp_path / "spec.toml").exists()


def test_init_asks_the_account(moto: str, photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "spec.toml"
    assert kennel("init", str(photos), "--out", str(out)).code == 0
    text = tomllib.loads(out.read_text())
    assert text["role"] == "arn:aws:iam::123456789012:role/kennel-my-digits"
    assert text["output"] == "s3://kennel-123456789012-us-east-1/my-digits/jobs"


@pytest.fixture
def empty_emulator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with run_emulator(tmp_path / "state") as address:
        use_endpoint(monkeypatch, address)
        yield


@pytest.mark.slow
def test_from_photos_to_an_answer_and_back_to_nothing(
    empty_emulator: None, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    commands = 0

    def run(*words: str) -> Outcome:
        nonlocal commands
        commands += 1
        done = kennel(*words)
        assert done.code == 0, done.err
        return done

    file = run("init", str(photos)).out.strip()
    address = spec.load(Path(file), ()).data["photos"].uri
    run("setup", file, "--yes")
    run("data", "upload", str(photos), address)
    tuned = run("tune", file, *QUICK)
    assert "EMULATOR at http://127.0.0.1" in tuned.err
    job = tuned.out.splitlines()[0]
    deployed = run("deploy", file, "--job", job)
    assert "ends by itself at " in deployed.err
    photo = next(photos.rglob("*.png"))
    answer = json.loads(run("predict", "my-digits", str(photo), "--json").out)[str(photo)]
    assert len(answer["probabilities"]) == 10
    run("down", "my-digits")
    removed = run("setup", file, "--down", "--yes")
    assert "kept bucket kennel-my-digits: it is not empty" in removed.err
    assert commands == 8
    assert boto3.client("sagemaker").list_endpoints()["Endpoints"] == []
    assert boto3.client("sagemaker").list_models()["Models"] == []
    assert boto3.client("scheduler").list_schedules()["Schedules"] == []
    assert (
        boto3.client("cloudformation").list_stacks(StackStatusFilter=["CREATE_COMPLETE"])[
            "StackSummaries"
        ]
        == []
    )
