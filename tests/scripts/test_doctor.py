"""`kennel doctor` on moto's account: it finds each problem, and says how to fix it."""

import json
from pathlib import Path

import boto3  # type: ignore[import-untyped]
import pytest

from tests.scripts.conftest import TRUST
from tests.scripts.kennel import kennel

HOST = "123456789012.dkr.ecr.us-east-1.amazonaws.com"
MANIFEST = {
    "schemaVersion": 2,
    "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
    "config": {"mediaType": "c", "size": 1, "digest": "sha256:" + "1" * 64},
    "layers": [],
}


@pytest.fixture
def experiment(tmp_path: Path) -> Path:
    file = tmp_path / "vets.toml"
    file.write_text(
        f"""
        name = "vets"
        region = "us-east-1"
        role = "arn:aws:iam::123456789012:role/vets"
        output = "s3://vets-output/jobs"
        images = {{ train = "{HOST}/vets-train:1", serve = "{HOST}/vets-serve:1" }}
        data = {{ train = "s3://vets-photos/train" }}
        training = {{ instance_type = "ml.m5.large" }}
        """
    )
    return file


def test_an_empty_account_fails_with_fixes(moto: str, experiment: Path) -> None:
    done = kennel("doctor", str(experiment))
    assert done.code == 1
    for line in (
        "ok   credentials: arn:aws:sts::123456789012:",
        "ok   region: us-east-1",
        "ok   clock: ",
        "FAIL role: missing",
        "aws s3 mb s3://vets-output --region us-east-1",
        "aws s3 mb s3://vets-photos --region us-east-1",
        "not in ECR: push it: kennel push --tag 1",
    ):
        assert line in done.out, done.out


def test_a_complete_account_passes(moto: str, experiment: Path) -> None:
    iam, s3, ecr = (boto3.client(service) for service in ("iam", "s3", "ecr"))
    iam.create_role(RoleName="vets", AssumeRolePolicyDocument=json.dumps(TRUST))
    s3.create_bucket(Bucket="vets-output")
    s3.create_bucket(Bucket="vets-photos")
    empty = kennel("doctor", str(experiment))
    assert "kennel data upload DIR s3://vets-photos/train" in empty.out
    s3.put_object(Bucket="vets-photos", Key="train/beagle/1.jpg", Body=b"")
    for name in ("vets-train", "vets-serve"):
        ecr.create_repository(repositoryName=name)
        ecr.put_image(repositoryName=name, imageTag="1", imageManifest=json.dumps(MANIFEST))
    done = kennel("doctor", str(experiment))
    assert "FAIL" not in done.out
    assert done.code == 0
    assert "ok   role: exists, and trusts SageMaker" in done.out

    iam.update_assume_role_policy(
        RoleName="vets", PolicyDocument=json.dumps(TRUST).replace("sagemaker", "lambda")
    )
    done = kennel("doctor", str(experiment), "--set", "output=s3://vets-elsewhere/x")
    assert "does not trust SageMaker: add the service sagemaker.amazonaws.com" in done.out
    west = boto3.client("s3", region_name="us-west-2")
    west.create_bucket(
        Bucket="vets-elsewhere", CreateBucketConfiguration={"LocationConstraint": "us-west-2"}
    )
    done = kennel("doctor", str(experiment), "--set", "output=s3://vets-elsewhere/x")
    assert (
        "it is in us-west-2, but the jobs run in us-east-1: both must be in the same region"
        in done.out
    )


@pytest.mark.parametrize(
    ("endpoint", "image", "warns"),
    [
        ('{ kind = "realtime", instance_type = "ml.m5.large" }', "", True),
        ('{ kind = "serverless" }', "", True),
        ('{ kind = "realtime", instance_type = "ml.g4dn.xlarge" }', "", False),
        ('{ kind = "realtime", instance_type = "ml.m5.large" }', "vets-serve-cpu:1", False),
    ],
)
def test_cuda_on_a_machine_without_a_gpu_is_a_warning(
    moto: str, experiment: Path, endpoint: str, image: str, warns: bool
) -> None:
    text = experiment.read_text() + f"endpoint = {endpoint}\n"
    experiment.write_text(
        text.replace("vets-serve:1", f'vets-serve:1", serve_cpu = "{HOST}/{image}')
        if image
        else text
    )
    done = kennel("doctor", str(experiment))
    assert "target: " in done.out, done.err
    assert ("warn serving image: has CUDA libraries for" in done.out) == warns, done.out


def test_labels_and_archives_in_the_channel_are_named(moto: str, experiment: Path) -> None:
    s3 = boto3.client("s3")
    s3.create_bucket(Bucket="vets-archives")
    spec = ["--set", "data.train=s3://vets-archives/train", str(experiment)]
    s3.put_object(Bucket="vets-archives", Key="train/dogs.zip", Body=b"")
    archived = kennel("doctor", *spec)
    assert "FAIL photos s3://vets-archives/train" in archived.out
    assert "kennel data upload dogs.zip s3://vets-archives/train" in archived.out
    s3.put_object(Bucket="vets-archives", Key="train/labels.csv", Body=b"")
    s3.put_object(Bucket="vets-archives", Key="train/images/1.jpg", Body=b"")
    labelled = kennel("doctor", *spec)
    assert "ok   photos s3://vets-archives/train: labels in labels.csv" in labelled.out
    s3.put_object(Bucket="vets-archives", Key="shards/00000.tar", Body=b"")
    s3.put_object(Bucket="vets-archives", Key="shards/index.json", Body=b"")
    packed = kennel("doctor", "--set", "data.train=s3://vets-archives/shards", str(experiment))
    assert "ok   photos s3://vets-archives/shards: has objects" in packed.out


def test_without_credentials_this_machine_is_still_checked(nowhere: None) -> None:
    done = kennel("doctor", "--region", "us-east-1")
    assert done.code == 1
    assert "GiB free here" in done.out
    assert "FAIL credentials: not usable" in done.out
    assert "aws configure" in done.out
    assert "credentials" not in kennel("doctor", "--offline").out
