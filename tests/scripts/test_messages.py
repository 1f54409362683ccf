"""Mistakes that new users make: each message says what is wrong, where, and how to mend it."""

import json
import os
import re
from pathlib import Path
from typing import NamedTuple

import boto3  # type: ignore[import-untyped]
import pytest
from typer.main import get_command

from scripts.cli import app
from scripts.console import terminal
from tests.scripts.kennel import kennel

DOGS = str(Path(__file__).parents[2] / "experiments" / "dogs.toml")


class Mistake(NamedTuple):
    """What is typed, and what the message must say."""

    typed: list[str]
    says: list[str]


MISTAKES = {
    "predict of no endpoint": Mistake(
        ["predict", "dgos", __file__],
        ["no endpoint is called dgos in us-east-1: `kennel endpoints` lists them"],
    ),
    "down of no endpoint": Mistake(
        ["down", "dgos"], ["no endpoint is called dgos in us-east-1", "`kennel endpoints`"]
    ),
    "log of no endpoint": Mistake(
        ["logs", "dgos", "--endpoint"], ["no endpoint is called dgos in us-east-1"]
    ),
    "status of no job": Mistake(
        ["status", "dgos-1"], ["no job is called dgos-1 in us-east-1: `kennel jobs` lists them"]
    ),
    "log of no job": Mistake(["logs", "dgos-1"], ["no job is called dgos-1", "`kennel jobs`"]),
    "stop of no job": Mistake(["stop", "dgos-1"], ["no job is called dgos-1", "`kennel jobs`"]),
    "report of no job": Mistake(["report", "dgos-1"], ["no job is called dgos-1", "`kennel jobs`"]),
    "best of no job": Mistake(
        ["best", "dgos-1"], ["no tuning job is called dgos-1 in us-east-1", "`kennel jobs`"]
    ),
    "best hyperparameters of no job": Mistake(
        ["train", DOGS, "--from-tuning", "dgos-1"], ["no tuning job is called dgos-1"]
    ),
    "deploying no job": Mistake(["deploy", DOGS, "--job", "dgos-1"], ["no job is called dgos-1"]),
    "deploying nothing": Mistake(["deploy", DOGS], ["--job JOB, or --model s3://"]),
    "best of a training job": Mistake(
        ["best", "one-job"],
        ["one-job is one training job, neither a tuning job nor a sweep", "kennel status one-job"],
    ),
    "predict of an address": Mistake(
        ["predict", "dogs", "https://example.com/a.jpg"], ["https:/example.com/a.jpg: download it"]
    ),
    "predict of no file": Mistake(["predict", "dogs", "none.jpg"], ["none.jpg: no such file"]),
    "an output of no format": Mistake(
        ["predict", "dogs", __file__, "--out", "answers.xls"],
        ["--out answers.xls: the name must end in .csv or .jsonl"],
    ),
    "hyperparameters of no file": Mistake(
        ["hyperparameters", "--check", "none.json"], ["none.json: No such file"]
    ),
    "hyperparameters of a list": Mistake(
        ["hyperparameters", "--check", "{list}"], ["write a JSON object, such as"]
    ),
    "hyperparameters that are not JSON": Mistake(
        ["hyperparameters", "--check", "{broken}"], ["is not JSON: "]
    ),
    "an experiment that does not exist": Mistake(["train", "none.toml"], ["none.toml"]),
    "an experiment with a wrong key": Mistake(
        ["train", DOGS, "--set", "training.instance=ml.m5.large"], ["training.instance"]
    ),
    "a port that is none": Mistake(["emulator", "start", "--port", "70000"], ["--port", "65535"]),
    "a report of a wrong file": Mistake(["report", "{broken}"], ["broken.json"]),
    "prices of another region": Mistake(
        ["prices", "--region", "eu-west-1"], ["kennel prices --refresh"]
    ),
    "an age of no unit": Mistake(
        ["down", "--all", "--older-than", "2"], ["write it as 90m, 8h or 2d"]
    ),
    "an upload of a photo": Mistake(
        ["data", "upload", "{broken}", "s3://dogs/photos"],
        ["broken.json is neither a folder nor an archive: give the folder with the photos"],
    ),
    "an output in a file": Mistake(
        ["init", "{photos}", "--out", "list.json/x.toml"], ["list.json", "check the path"]
    ),
    "down of two that are none": Mistake(
        ["down", "dgos", "cats"],
        ["no endpoint is called dgos in us-east-1", "no endpoint is called cats in us-east-1"],
    ),
    "down of nothing": Mistake(["down"], ["give the names of endpoints, or --all"]),
    "setup for no repository": Mistake(
        ["setup", DOGS, "--github", "dogs"], ["--github dogs: write it as OWNER/REPO"]
    ),
    "a mail without a budget": Mistake(
        ["setup", DOGS, "--email", "a@b.c"], ["--email needs --budget"]
    ),
    "setup in another account": Mistake(
        ["setup", DOGS, "--yes"], ["is in account 111122223333, but you are in account 1234567890"]
    ),
    "removing no stack": Mistake(
        ["setup", DOGS, "--down", "--yes"], ["there is no stack kennel-dogs in us-east-1"]
    ),
    "training in an empty account": Mistake(
        ["train", DOGS],
        [
            "nothing was started",
            "no role is called kennel",
            "no bucket is called kennel-111122223333 in us-east-1",
            "not in ECR: push it: kennel push --tag 0.1.0",
            "--no-check",
        ],
    ),
}


@pytest.fixture
def account(moto: str) -> None:
    """moto's account with a training job that is not a sweep."""
    sagemaker = boto3.client("sagemaker")
    if sagemaker.list_training_jobs(NameContains="one-job")["TrainingJobSummaries"]:
        return
    sagemaker.create_training_job(
        TrainingJobName="one-job",
        AlgorithmSpecification={"TrainingImage": "x", "TrainingInputMode": "File"},
        RoleArn="arn:aws:iam::123456789012:role/vets",
        OutputDataConfig={"S3OutputPath": "s3://vets/out"},
        ResourceConfig={"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 10},
        StoppingCondition={"MaxRuntimeInSeconds": 60},
    )


@pytest.mark.parametrize("mistake", MISTAKES.values(), ids=MISTAKES.keys())
def test_a_mistake_says_what_where_and_how(
    mistake: Mistake, account: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "list.json").write_text("[]")
    (tmp_path / "broken.json").write_text("{")
    for label in ("beagle", "pug"):
        (tmp_path / "photos" / label).mkdir(parents=True)
        for number in range(4):
            (tmp_path / "photos" / label / f"{number}.jpg").write_text(f"{label} {number}")
    files = {"{list}": "list.json", "{broken}": "broken.json", "{photos}": "photos"}
    done = kennel(*(files.get(word, word) for word in mistake.typed))
    assert done.code != 0
    for part in mistake.says:
        assert part in done.err, done.err
    assert "Traceback" not in done.err
    assert "<html" not in done.err.lower()


def test_verbose_adds_aws_s_own_message(moto: str) -> None:
    plain, verbose = kennel("down", "dgos"), kennel("--verbose", "down", "dgos")
    assert "DescribeEndpoint" not in plain.err
    assert verbose.err.startswith(plain.err)
    assert "AWS's message: DescribeEndpoint: Could not find endpoint" in verbose.err
    # Also where a verb replaced the message by a better one.
    assert "AWS's message: Describe" in kennel("--verbose", "status", "dgos").err


def test_aws_region_is_read(moto: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    assert "in eu-west-1: " in kennel("down", "dgos").err


def test_a_running_emulator_is_pointed_to(
    nowhere: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    assert 'eval "$(kennel emulator start)" starts' in kennel("jobs").err
    state = tmp_path / "run" / "emulator"
    state.mkdir(parents=True)
    about = {"pid": os.getpid(), "url": "http://127.0.0.1:5"}
    (state / "emulator.json").write_text(json.dumps(about))
    assert 'runs at http://127.0.0.1:5: eval "$(kennel emulator status)"' in kennel("jobs").err


def test_names_in_tables_are_never_cut(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("FORCE_COLOR", "1")  # as on a terminal
    name = "digits-261122-220426-318-001-710375d6-and-more-up-to-63-letters"
    terminal.table(["job", "what"], [[name, "words that wrap on a narrow screen"]], if_empty="")
    plain = re.sub(r"\x1b\[[\d;]*m", "", capsys.readouterr().out)
    assert name in plain
    assert max(map(len, plain.splitlines())) > 40


@pytest.mark.parametrize("verb", ["jobs", "endpoints", "prices", "hyperparameters", "doctor"])
def test_tables_are_also_json(verb: str, moto: str) -> None:
    assert isinstance(json.loads(kennel(verb, "--json").out), list | dict)


def test_help_lists_every_verb_once_and_whole() -> None:
    text = kennel("-h").out
    verbs = re.findall(r"^  (\S+)  +\S", text, re.MULTILINE)
    known = {verb.name for verb in get_command(app).commands.values()}  # type: ignore[attr-defined]
    assert known <= set(verbs)
    assert len(verbs) == len(set(verbs))
    assert "..." not in text.partition("\n")[2]
    assert kennel("--version").out.startswith("kennel ")
