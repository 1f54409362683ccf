"""The first hour: an empty emulator, photos, and what the README and the tutorial say."""

import json
import shutil
import tomllib
from collections.abc import Iterator
from pathlib import Path

import boto3  # type: ignore[import-untyped]
import pytest

from scripts import spec
from tests import documents
from tests.scripts.conftest import run_emulator, use_endpoint
from tests.scripts.kennel import kennel

README = documents.ROOT / "README.md"
TUTORIAL = documents.ROOT / "docs" / "tutorial.md"
# A network that trains on digits in seconds on two cores; the file's own has 50 layers.
# `make demo` has a job with exports (tests/test_demo.py).
QUICK = [
    "--set", "hyperparameters.architecture=resnet18",
    "--set", "hyperparameters.weights=none",
    "--set", "hyperparameters.trainable=all",
    "--set", "hyperparameters.image_size=32",
    "--set", "hyperparameters.epochs=1",
    "--set", "hyperparameters.export=none",
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


@pytest.fixture
def with_files(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder with what the pages name: `photos`, and `photo.jpg`."""
    monkeypatch.chdir(tmp_path)
    photos.rename("photos")
    shutil.copy(next(Path("photos").rglob("*.png")), "photo.jpg")


def commands(page: Path, begin: str, end: str) -> list[list[str]]:
    """The `kennel` commands between two headings, in order, without `kennel`."""
    lines = page.read_text().splitlines()
    first, last = lines.index(begin), lines.index(end)
    blocks = [one for one in documents.blocks(page) if first < one.line <= last]
    found = [words for block in blocks for words in documents.commands(block)]
    return [words[1:] for words in found if words[:1] == ["kennel"]]


@pytest.mark.slow
def test_from_photos_to_an_answer_and_back_to_nothing(
    empty_emulator: None, with_files: None
) -> None:
    job = ""
    listed = commands(README, "## Your own photos, without AWS", "## On SageMaker")
    assert listed.pop(0) == ["emulator", "start"]
    assert [words[0] for words in listed] == [
        *("init", "setup", "data", "tune", "deploy", "predict", "down", "setup")
    ]
    for words in listed:
        typed = [job if word == "JOB" else word for word in words]
        more = {"tune": QUICK, "setup": ["--yes"], "predict": ["--json"]}.get(words[0], [])
        done = kennel(*typed, *more)
        assert done.code == 0, done.err
        if words[0] == "tune":
            assert "EMULATOR at http://127.0.0.1" in done.err
            job = done.out.splitlines()[0]
        if words[0] == "deploy":
            assert "ends by itself at " in done.err
        if words[0] == "predict":
            assert len(json.loads(done.out)["photo.jpg"]["probabilities"]) == 10
    assert "kept bucket kennel-photos: it is not empty" in done.err
    assert boto3.client("sagemaker").list_endpoints()["Endpoints"] == []
    assert boto3.client("sagemaker").list_models()["Models"] == []
    assert boto3.client("scheduler").list_schedules()["Schedules"] == []
    stacks = boto3.client("cloudformation").list_stacks(StackStatusFilter=["CREATE_COMPLETE"])
    assert stacks["StackSummaries"] == []


@pytest.mark.slow
def test_the_tutorial_runs_as_it_is_written(empty_emulator: None, with_files: None) -> None:
    job = ""
    listed = commands(TUTORIAL, "## The command", "## Now on AWS")
    assert len(listed) > 15
    for words in listed:
        if words[0] == "emulator":
            continue  # the test has one of its own
        typed = [job if word == "JOB" else word for word in words]
        one = [*QUICK, "--set", "tuning.ranges.learning_rate=[0.003]"]  # a trial less
        more = {"tune": one, "setup": ["--yes"] * ("--yes" not in words)}.get(words[0], [])
        done = kennel(*typed, *more)
        assert done.code == 0, f"{words}: {done.err or done.out}"
        if words[0] == "tune":
            job = done.out.splitlines()[0]
    assert Path("scores.csv").read_text().count("\n") > 10
    assert next(Path().glob("*-report.html"))
    assert boto3.client("sagemaker").list_endpoints()["Endpoints"] == []
