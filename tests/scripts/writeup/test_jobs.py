"""`kennel writeup` about jobs on the emulator: tuning, training with and without a recording."""

import re
import tomllib
from pathlib import Path
from typing import Any

import boto3  # type: ignore[import-untyped]
import pytest

from scripts import spec
from scripts.aws import recreated
from scripts.requests import training
from tests.scripts.aws_model import problems
from tests.scripts.digits_job import SMALL, SPEC
from tests.scripts.kennel import kennel
from tests.scripts.writeup import rendered

REGION = "us-east-1"
DOGS = Path(SPEC).with_name("dogs.toml")


@pytest.mark.slow
def test_a_tuning_job_a_training_job_and_a_prediction(
    tuned: dict[str, Any], emulator: str, few_digits: Path, tmp_path: Path
) -> None:
    tuning = tuned["tuning_job"]
    trained = kennel("train", SPEC, *SMALL, "--from-tuning", tuning, "--no-check")
    assert trained.code == 0, trained.err
    job = trained.out.splitlines()[0]
    assert kennel("deploy", SPEC, "--job", job, "--no-check").code == 0
    photo = next((few_digits / "test" / "7").glob("*.png"))
    out = tmp_path / "out"
    try:
        more = ("--endpoint", "digits", "--photo", str(photo), "--out", str(out))
        done = kennel("writeup", tuning, job, *more)
    finally:
        kennel("down", "digits")
    assert done.code == 0, done.err
    page = rendered.page(out / "writeup.md")
    jobs = {
        row[0]: row for row in page.cells if row[1:2] and row[1] in ("trial", "tuning", "training")
    }
    assert set(jobs) == {tuning, job, *(one["job"] for one in tuned["trials"])}
    assert all(row[2] == "Completed" for row in jobs.values())
    assert "5 of 5" not in page.text
    assert "4 of 4 completed" in page.text
    assert {"curves-1.png", "tuning-1.png", "prediction-1.png"} <= set(page.all("img", "src"))
    assert "Tuning " + tuning in page.headings
    (best,) = (row for row in page.cells if row[0] == "best")
    assert best[-1] == tuned["best"]["job"]
    assert float(best[1]) == pytest.approx(tuned["trials"][0]["value"], rel=1e-3)
    rate = tuned["best"]["hyperparameters"]["learning_rate"]
    assert ["learning_rate", str(rate)] in page.cells
    # The training job recorded nothing: its curves are from the log, and the page says why.
    assert re.search(f"There is no report: {job} (has|holds) no recording", page.text)
    (row,) = (row for row in page.cells if row[0] == photo.name)
    assert row[1] == "7"
    assert re.fullmatch(r"\d 0\.\d{3}|\d 1\.000", row[2])
    assert "Nothing: it ran on the emulator" in page.text
    assert "EMULATOR at http://127.0.0.1" in page.text
    content = tomllib.loads(_block(out / "writeup.md", "toml"))
    assert content["tuning"]["ranges"] == {"learning_rate": [0.000001, 0.003]}
    _same_tuning(content, tuning)


@pytest.mark.slow
def test_the_best_trial_has_a_report(tuned: dict[str, Any], emulator: str, tmp_path: Path) -> None:
    done = kennel("writeup", tuned["tuning_job"], "--out", str(tmp_path / "out"), "--spec", SPEC)
    assert done.code == 0, done.err
    page = rendered.page(tmp_path / "out" / "writeup.md")
    best = tuned["best"]["job"]
    assert f"What the profiler and the debugger found in {best}" in page.headings
    assert re.search(r"The job started on \d{4}-\d\d-\d\d at \d\d:\d\d:\d\d UTC and ran", page.text)
    assert page.all("a", "href") == ["report-1.html"]
    text = (tmp_path / "out" / "writeup.md").read_text()
    assert Path(SPEC).read_text().strip() in text
    missing = kennel("writeup", "no-such-job", "--out", str(tmp_path / "none"))
    assert missing.code == 1
    assert "no job is called no-such-job" in missing.err
    assert not (tmp_path / "none").exists()


def _block(file: Path, language: str) -> str:
    found = re.search(rf"^```{language}\n(.*?)^```$", file.read_text(), re.MULTILINE | re.DOTALL)
    assert found
    return found[1]


def _same_tuning(content: dict[str, Any], name: str) -> None:
    """The experiment in the write-up starts the same job again."""
    about = boto3.client("sagemaker").describe_hyper_parameter_tuning_job(
        HyperParameterTuningJobName=name
    )
    experiment = spec.check(content, "the write-up")
    request = training.tuning_job(experiment, "again", content["images"]["train"])
    assert problems(request) == []
    given = request.parameters
    assert given["HyperParameterTuningJobConfig"]["ParameterRanges"] == {
        key: value
        for key, value in about["HyperParameterTuningJobConfig"]["ParameterRanges"].items()
        if value
    }
    definition = about["TrainingJobDefinition"]
    static = {
        key: value
        for key, value in definition["StaticHyperParameters"].items()
        if not key.startswith("_")
    }
    assert given["TrainingJobDefinition"]["StaticHyperParameters"] == static
    described = [
        {key: value for key, value in channel.items() if value != "None"}  # AWS adds its defaults
        for channel in definition["InputDataConfig"]
    ]
    assert given["TrainingJobDefinition"]["InputDataConfig"] == described


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"tuning": {"strategy": "sweep", "ranges": {"learning_rate": [0.1, 0.2]}}},
        {"training": {"instance_type": "ml.g5.xlarge", "instance_count": 2, "spot": True,
                      "max_run_seconds": 60, "max_wait_seconds": 90, "checkpoints": "s3://bkt/c",
                      "volume_gb": 30, "retries": 2, "environment": {"A": "b"}}},
        {"vpc": {"subnets": ["subnet-1"], "security_groups": ["sg-1"]}, "kms_key": "alias/k"},
        {"data": {"train": {"uri": "s3://bkt/m.json", "type": "ManifestFile", "mode": "FastFile",
                            "distribution": "ShardedByS3Key"}, "valid": "s3://bkt/v/"}},
        {"hyperparameters": {"architecture": "resnet18", "epochs": 2, "learning_rate": 1e-05,
                             "augment": "none", "horizontal_flip": False}},
    ],
    ids=lambda changes: ",".join(changes) or "as it is",
)  # fmt: skip
def test_an_experiment_from_a_description_starts_the_same_job(changes: dict[str, Any]) -> None:
    first = spec.check(tomllib.loads(DOGS.read_text()) | {"region": REGION} | changes, "it")
    swept = first.tuning is not None and first.tuning.strategy == "sweep"
    hyperparameters = first.swept() if swept else None
    image = "123456789012.dkr.ecr.us-east-1.amazonaws.com/kennel-train:1"
    sent = training.training_job(first, "dogs-261128-180057-892", image, hyperparameters).parameters
    about = sent | {"TrainingJobStatus": "Completed"}
    content, remarks = recreated.experiment(about, None, REGION)
    assert remarks == []
    again = spec.check(tomllib.loads(recreated.to_toml(content)), "again")
    assert again.name == "dogs"
    assert again.images.serve.endswith("/kennel-serve:1")
    request = training.training_job(
        again, sent["TrainingJobName"], image, again.swept() if swept else None
    )
    ours = ("Tags", "DebugHookConfig", "DebugRuleConfigurations", "ProfilerConfig",
            "ProfilerRuleConfigurations")  # fmt: skip
    expected = {key: value for key, value in sent.items() if key not in ours}
    assert {key: value for key, value in request.parameters.items() if key not in ours} == expected


def test_what_a_description_lacks_is_said() -> None:
    about = {
        "TrainingJobName": "x-y",
        "AlgorithmSpecification": {"TrainingImage": "somebody/image:1"},
        "HyperParameters": {"api_token": '"s3cr3t"', "epochs": "2"},
        "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1},
    }
    content, remarks = recreated.experiment(about, None, REGION)
    text = " ".join(remarks)
    assert "s3cr3t" not in recreated.to_toml(content)
    assert "Secrets are shown as ***" in text
    assert "images.serve" in text
    assert "It is not complete" in text
    assert "images.train: 'somebody/image:1' is not an ECR URI" in text
