"""`--dry-run`: every verb prints valid AWS requests, without credentials, region or network."""

import json
from pathlib import Path

import pytest

from scripts.requests.request import Request
from tests.scripts.aws_model import problems
from tests.scripts.kennel import kennel

DOGS = str(Path(__file__).parents[2] / "experiments" / "dogs.toml")
ALIAS = ("--set", "images.train=kennel-train@stable", "--set", "images.serve=kennel-serve@stable")

HOSTING = ("CreateModel", "CreateEndpointConfig", "CreateEndpoint", "CreateSchedule")
VERBS: dict[str, tuple[list[str], list[str]]] = {
    "tune": (["tune", DOGS], ["CreateHyperParameterTuningJob"]),
    "tune by alias": (
        ["tune", DOGS, *ALIAS],
        ["DescribeImageVersion", "CreateHyperParameterTuningJob"],
    ),
    "train": (["train", DOGS], ["CreateTrainingJob"]),
    "train from tuning": (
        ["train", DOGS, "--from-tuning", "dogs-1"],
        ["DescribeHyperParameterTuningJob", "CreateTrainingJob"],
    ),
    "best": (
        ["best", "dogs-1"],
        ["DescribeHyperParameterTuningJob", "ListTrainingJobsForHyperParameterTuningJob"],
    ),
    "jobs": (["jobs"], ["ListTrainingJobs", "ListHyperParameterTuningJobs", "ListTransformJobs"]),
    "status": (
        ["status", "dogs-1"],
        ["DescribeTrainingJob", "DescribeHyperParameterTuningJob", "DescribeTransformJob"],
    ),
    "logs": (["logs", "dogs-1"], ["DescribeLogStreams"]),
    "logs of an endpoint": (["logs", "dogs", "--endpoint"], ["DescribeLogStreams"]),
    "stop": (
        ["stop", "dogs-1"],
        ["StopTrainingJob", "StopHyperParameterTuningJob", "StopTransformJob"],
    ),
    "deploy": (
        ["deploy", DOGS, "--job", "dogs-1"],
        [*HOSTING],
    ),
    "deploy by alias": (
        ["deploy", DOGS, "--job", "dogs-1", *ALIAS],
        ["DescribeImageVersion", *HOSTING],
    ),
    "predict": (["predict", "dogs", "photo.jpg", "b.png"], ["InvokeEndpoint", "InvokeEndpoint"]),
    "push": (
        ["push", "--tag", "1.0", "train"],
        ["CreateRepository", "PutLifecyclePolicy"] * 2 + ["GetAuthorizationToken"],
    ),
    "doctor": (
        ["doctor", DOGS],
        ["GetCallerIdentity", "GetRole", "HeadBucket", "GetBucketLocation"]
        + ["ListObjectsV2"] * 3
        + ["DescribeImages"] * 2
        + ["ListServiceQuotas"],
    ),
    "costs": (["costs", "dogs"], ["ListTrainingJobs", "ListEndpoints"]),
    "prices": (["prices", "--refresh", "--region", "eu-west-1"], ["GetProducts"]),
    "register": (
        ["register", DOGS, "--alias", "stable"],
        ["CreateImage", "CreateImageVersion", "CreateImage", "CreateImageVersion"],
    ),
    "endpoints": (["endpoints"], ["ListEndpoints"]),
    "down": (
        ["down", "dogs"],
        ["DescribeEndpoint", "DeregisterScalableTarget", "DeleteEndpoint"],
    ),
    "down --all": (["down", "--all", "--older-than", "8h"], ["ListEndpoints"]),
}


@pytest.mark.parametrize("verb", VERBS)
def test_the_printed_requests_are_valid(verb: str, nowhere: None) -> None:
    arguments, operations = VERBS[verb]
    done = kennel(*arguments, "--dry-run")
    assert done.code == 0, done.err
    sent = [Request(**one) for one in json.loads(done.out)]
    assert [one.operation for one in sent] == operations
    for request in sent:
        assert problems(request) == []


def test_tune_prints_the_number_of_jobs_first(nowhere: None) -> None:
    done = kennel("tune", DOGS, "--dry-run")
    assert done.err.startswith("18 training jobs, 1 x ml.g5.xlarge, at most 2 h each: at most $")
    (sent,) = json.loads(done.out)
    config = sent["parameters"]["HyperParameterTuningJobConfig"]
    assert config["ResourceLimits"]["MaxNumberOfTrainingJobs"] == 18
    name = sent["parameters"]["HyperParameterTuningJobName"]
    assert len(name) <= 32


def test_a_long_name_still_fits_a_tuning_job(nowhere: None) -> None:
    long = "an-experiment-with-a-rather-long-name"
    done = kennel("tune", DOGS, "--set", f"name={long}", "--dry-run")
    (sent,) = json.loads(done.out)
    assert problems(Request(**sent)) == []


def test_deploy_by_job_serves_that_jobs_bundle(nowhere: None) -> None:
    done = kennel("deploy", DOGS, "--job", "dogs-1", "--dry-run")
    model = json.loads(done.out)[0]["parameters"]["PrimaryContainer"]
    assert model["ModelDataUrl"] == "s3://kennel-111122223333/dogs/dogs-1/output/model.tar.gz"


@pytest.mark.parametrize(
    ("arguments", "fix"),
    [
        (["tune", DOGS, "--set", "tuning.max_jobs=3"], "remove it, or set 18"),
        (["tune", "none.toml"], "give an experiment file"),
        (["deploy", DOGS], "give what to serve: --job JOB, or --model s3://"),
        (["register", DOGS, *ALIAS], "registering needs an ECR URI: give it with --set images"),
        (["down"], "give the names of endpoints, or --all"),
        (["down", "dogs", "--older-than", "8h"], "need --all"),
        (["down", "--all", "--older-than", "soon"], "write it as 90m, 8h or 2d"),
        (
            ["deploy", DOGS, "--job", "x", "--set", "endpoint={kind='multi-model', "
             "instance_type='ml.m5.large', models='s3://a-bucket/m'}"],
            "give no --job or --model",
        ),
    ],
)  # fmt: skip
def test_wrong_arguments_are_refused_before_any_call(
    arguments: list[str], fix: str, nowhere: None
) -> None:
    done = kennel(*arguments)
    assert done.code == 1
    assert done.err.startswith("kennel: ")
    assert fix in done.err


def test_a_missing_section_is_named(tmp_path: Path, nowhere: None) -> None:
    whole = Path(DOGS).read_text()
    file = tmp_path / "short.toml"
    file.write_text(whole[: whole.index("[tuning]")])
    assert "has no [tuning]" in kennel("tune", str(file)).err
    assert "has no [endpoint]" in kennel("deploy", str(file), "--job", "x").err
