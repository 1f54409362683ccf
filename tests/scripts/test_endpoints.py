"""Every kind of endpoint, on the emulator: created, invoked and deleted by `kennel`."""

import json
import re
import time
from pathlib import Path
from typing import Any

import boto3  # type: ignore[import-untyped]
import pytest
from botocore.exceptions import WaiterError  # type: ignore[import-untyped]

from scripts.aws.client import Aws
from scripts.photos import invoking
from scripts.problem import Problem
from tests.scripts.digits_job import SPEC
from tests.scripts.kennel import kennel

pytestmark = pytest.mark.slow


def test_the_best_trial_is_deployed_invoked_replaced_and_deleted(
    tuned: dict[str, Any], emulator: str, few_digits: Path, tmp_path: Path
) -> None:
    deployed = kennel("deploy", SPEC, "--job", tuned["tuning_job"])
    assert deployed.code == 0, deployed.err
    assert deployed.out == "digits\n"
    assert "$0.12 per hour until `kennel down`" in deployed.err

    photo = next((few_digits / "test").rglob("*.png"))
    predicted = kennel("predict", "digits", str(photo), "--json")
    answer = json.loads(predicted.out)[str(photo)]
    assert abs(sum(answer["probabilities"]) - 1) < 1e-4
    assert len(answer["labels"]) == 10
    assert answer["predicted_label"] in kennel("predict", "digits", str(photo), "--top", "1").out

    text = tmp_path / "letter.jpg"
    text.write_text("no picture")
    refused = kennel("predict", "digits", str(text))
    assert refused.code == 1
    assert "letter.jpg: 400 these 10 bytes are not a picture" in refused.err
    assert "send one of: image/jpeg" in refused.err

    models = boto3.client("sagemaker").list_models()["Models"]
    again = kennel("deploy", SPEC, "--job", tuned["best"]["job"])
    assert "keeps answering during the update" in again.err
    replaced = boto3.client("sagemaker").list_models()["Models"]
    assert len(replaced) == len(models) == 1
    assert replaced[0]["ModelName"] != models[0]["ModelName"]

    (line,) = kennel("endpoints").out.splitlines()[1:]
    assert line.split()[:7] == ["digits", "InService", "digits", "1", "x", "ml.m5.large", "$0.12"]
    assert "ready on port 8080" in kennel("logs", "digits", "--endpoint").out
    spent = json.loads(kennel("costs", "digits", "--json").out)
    # Tests of other files train on the same emulator.
    assert {one["kind"] for one in spent} - {"training"} == {"trial", "endpoint"}
    assert all(one["dollars"] >= 0 for one in spent)
    assert re.search(r"^in all: \$\d", kennel("costs", "digits").out, re.MULTILINE)

    assert kennel("down", "--all", "--yes", "--older-than", "2h").err == "no such endpoint\n"
    assert kennel("down", "--all", "--yes", "--expired").err == "no such endpoint\n"
    assert "deleted endpoint digits" in kennel("down", "--all", "--yes").err
    sagemaker = boto3.client("sagemaker")
    assert sagemaker.list_endpoints()["Endpoints"] == []
    assert sagemaker.list_endpoint_configs()["EndpointConfigs"] == []
    assert sagemaker.list_models()["Models"] == []


def create_endpoint(name: str, container: dict[str, str], role: str) -> None:
    """Create a model, a config and an endpoint without Kennel's verbs."""
    sagemaker = boto3.client("sagemaker")
    sagemaker.create_model(ModelName=name, PrimaryContainer=container, ExecutionRoleArn=role)
    variant = {"VariantName": "all", "ModelName": name, "InitialInstanceCount": 1}
    sagemaker.create_endpoint_config(
        EndpointConfigName=name, ProductionVariants=[variant | {"InstanceType": "ml.m5.large"}]
    )
    sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)


def test_a_failed_endpoint_is_rolled_back(tuned: dict[str, Any], emulator: str) -> None:
    boto3.client("s3").put_object(Bucket="kennel-digits", Key="bad.tar.gz", Body=b"no archive")
    failed = kennel("deploy", SPEC, "--name", "bad", "--model", "s3://kennel-digits/bad.tar.gz")
    assert failed.code == 1
    assert "reason: " in failed.err
    assert "rolled back: DeleteEndpoint bad" in failed.err
    sagemaker = boto3.client("sagemaker")
    assert sagemaker.list_endpoints()["Endpoints"] == []
    assert sagemaker.list_endpoint_configs()["EndpointConfigs"] == []
    assert sagemaker.list_models()["Models"] == []


def test_an_endpoint_that_failed_is_made_anew(tuned: dict[str, Any], emulator: str) -> None:
    """SageMaker refuses to update it: it can only be deleted."""
    boto3.client("s3").put_object(Bucket="kennel-digits", Key="bad.tar.gz", Body=b"no archive")
    sagemaker = boto3.client("sagemaker")
    about = sagemaker.describe_training_job(TrainingJobName=tuned["best"]["job"])
    image = about["AlgorithmSpecification"]["TrainingImage"].replace("train", "serve")
    bad = {"Image": image, "ModelDataUrl": "s3://kennel-digits/bad.tar.gz"}
    create_endpoint("again", bad, about["RoleArn"])
    with pytest.raises(WaiterError):
        sagemaker.get_waiter("endpoint_in_service").wait(
            EndpointName="again", WaiterConfig={"Delay": 1, "MaxAttempts": 60}
        )
    predicted = kennel("predict", "again", __file__)
    assert predicted.code == 1
    assert re.search(r"the endpoint again is Failed \(.+\): deploy it again", predicted.err)
    deployed = kennel("deploy", SPEC, "--job", tuned["best"]["job"], "--name", "again")
    assert deployed.code == 0, deployed.err
    assert "again failed before (" in deployed.err
    assert "made anew" in deployed.err
    assert sagemaker.describe_endpoint(EndpointName="again")["EndpointStatus"] == "InService"
    down = kennel("down", "agian", "again", "--yes")
    assert down.code == 1
    assert "no endpoint is called agian" in down.err
    assert sagemaker.list_models()["Models"] == []


def test_an_endpoint_that_is_being_created_is_deleted_after_that(
    tuned: dict[str, Any], emulator: str
) -> None:
    """SageMaker refuses to delete it before, as after Ctrl-C in `kennel deploy`."""
    sagemaker = boto3.client("sagemaker")
    about = sagemaker.describe_training_job(TrainingJobName=tuned["best"]["job"])
    image = about["AlgorithmSpecification"]["TrainingImage"].replace("train", "serve")
    bundle = {"Image": image, "ModelDataUrl": about["ModelArtifacts"]["S3ModelArtifacts"]}
    create_endpoint("early", bundle, about["RoleArn"])
    down = kennel("down", "early")
    assert down.code == 0, down.err
    assert "early is Creating: SageMaker deletes it only after that" in down.err
    assert "InService" in down.err
    assert sagemaker.list_endpoints()["Endpoints"] == []
    assert sagemaker.list_models()["Models"] == []


def test_batch_transform_classifies_every_picture(
    tuned: dict[str, Any], emulator: str, few_digits: Path
) -> None:
    batch = (
        "endpoint={kind='transform', instance_type='ml.m5.large', "
        "input='s3://kennel-digits/data/test', output='s3://kennel-digits/answers'}"
    )
    s3 = boto3.client("s3")
    for key in ("test/.DS_Store", "test-v2/1.png"):  # a Mac's file, and another folder
        s3.put_object(Bucket="kennel-digits", Key=f"data/{key}", Body=b"\0\0\0\1Bud1")
    done = kennel("deploy", SPEC, "--job", tuned["tuning_job"], "--set", batch)
    assert done.code == 0, done.err
    assert "are not pictures (.DS_Store)" in done.err
    assert done.out == "s3://kennel-digits/answers\n"
    listed = s3.list_objects_v2(Bucket="kennel-digits", Prefix="answers/")["Contents"]
    assert len(listed) == len(list((few_digits / "test").rglob("*.png"))) + 1
    keys = [one["Key"] for one in listed if ".DS_Store" not in one["Key"]]
    body = s3.get_object(Bucket="kennel-digits", Key=keys[0])["Body"].read()
    assert len(json.loads(body)["labels"]) == 10
    assert boto3.client("sagemaker").list_models()["Models"] == []


def test_an_asynchronous_endpoint_answers_through_s3(
    tuned: dict[str, Any],
    emulator: str,
    few_digits: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kind = (
        "endpoint={kind='async', instance_type='ml.m5.large', "
        "output='s3://kennel-digits/later', failures='s3://kennel-digits/failed'}"
    )
    job, name = tuned["best"]["job"], "digits-later"
    deployed = kennel("deploy", SPEC, "--job", job, "--name", name, "--set", kind)
    assert deployed.code == 0, deployed.err
    photos = [str(photo) for photo in sorted((few_digits / "test").rglob("*.png"))[:3]]
    predicted = kennel("predict", name, *photos, "--json")
    assert "pictures and answers go through s3://kennel-digits/later" in predicted.err
    answers = json.loads(predicted.out)
    assert list(answers) == photos
    assert all(len(answer["labels"]) == 10 for answer in answers.values())

    text = tmp_path / "letter.jpg"
    text.write_text("no picture")
    refused = kennel("predict", name, str(text))
    assert refused.code == 1
    assert "letter.jpg: 400 these 10 bytes are not a picture" in refused.err

    monkeypatch.setattr(invoking, "CHECK_S", 0.0)
    answering = invoking.invoke(Aws(None), name, [Path(photo) for photo in photos])
    assert next(answering).body  # all are in the queue by now
    later = boto3.resource("s3").Bucket("kennel-digits").objects.filter(Prefix="later/")
    while sum("/requests/" not in one.key for one in later) < 2 * len(photos):
        time.sleep(0.1)  # none is written after the endpoint has gone
    assert "deleted endpoint digits-later" in kennel("down", name).err
    later.delete()
    with pytest.raises(Problem, match="digits-later"):  # no answer can come
        list(answering)


def test_a_serverless_endpoint_is_billed_by_use(
    tuned: dict[str, Any], emulator: str, few_digits: Path
) -> None:
    kind = "endpoint={kind='serverless', memory_mb=2048}"
    job, name = tuned["best"]["job"], "digits-serverless"
    deployed = kennel("deploy", SPEC, "--job", job, "--name", name, "--set", kind)
    assert deployed.code == 0, deployed.err
    assert "serverless: billed per millisecond of use" in deployed.err
    photo = next((few_digits / "test").rglob("*.png"))
    answer = json.loads(kennel("predict", name, str(photo), "--json").out)[str(photo)]
    assert answer["predicted_label"] in list("0123456789")
    (line,) = kennel("endpoints", name).out.splitlines()[1:]
    assert "serverless" in line
    assert "by use" in line
    assert "deleted endpoint digits-serverless" in kennel("down", name).err


def test_a_multi_model_endpoint_serves_each_bundle(
    tuned: dict[str, Any], emulator: str, few_digits: Path
) -> None:
    sagemaker, s3 = boto3.client("sagemaker"), boto3.client("s3")
    for trial in tuned["trials"]:
        about = sagemaker.describe_training_job(TrainingJobName=trial["job"])
        uri = about["ModelArtifacts"]["S3ModelArtifacts"]
        source = {"Bucket": "kennel-digits", "Key": uri.removeprefix("s3://kennel-digits/")}
        s3.copy_object(Bucket="kennel-digits", Key=f"all/{trial['job']}.tar.gz", CopySource=source)
    kind = (
        "endpoint={kind='multi-model', instance_type='ml.m5.large', "
        "models='s3://kennel-digits/all/'}"
    )
    deployed = kennel("deploy", SPEC, "--name", "digits-many", "--set", kind)
    assert deployed.code == 0, deployed.err
    photo = str(next((few_digits / "test").rglob("*.png")))
    answers = []
    for trial in tuned["trials"]:
        predicted = kennel(
            "predict", "digits-many", photo, "--model", f"{trial['job']}.tar.gz", "--json"
        )
        assert predicted.code == 0, predicted.err
        answers.append(json.loads(predicted.out)[photo]["probabilities"])
    assert len(answers) == 2
    assert answers[0] != answers[1]
    missing = kennel("predict", "digits-many", photo, "--model", "none.tar.gz")
    assert missing.code == 1
    assert "none.tar.gz" in missing.err
    assert "deleted endpoint digits-many" in kennel("down", "digits-many").err
