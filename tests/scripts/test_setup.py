"""`kennel setup`: an empty account gets what the experiment needs, and nothing else has rights."""

import json
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import boto3  # type: ignore[import-untyped]
import pytest
from moto.iam.access_control import IAMPolicy, PermissionResult

from scripts import spec
from scripts.stack import rights
from scripts.stack.addresses import Place
from tests.scripts.kennel import kennel

ACCOUNT = "123456789012"  # moto's
PLACE = Place("aws", ACCOUNT, "us-east-1")
HOST = f"{ACCOUNT}.dkr.ecr.us-east-1.amazonaws.com"
VETS = f"""
name = "clinic"
region = "us-east-1"
role = "arn:aws:iam::{ACCOUNT}:role/team/clinic"
output = "s3://clinic-jobs/out"
kms_key = "11111111-2222-3333-4444-555555555555"
images = {{ train = "{HOST}/clinic-train:1", serve = "{HOST}/clinic-serve:1" }}
data = {{ train = "s3://clinic-photos/v1/train", valid = "s3://clinic-photos/v1/valid" }}
training = {{ instance_type = "ml.m5.large" }}
vpc = {{ subnets = ["subnet-1"], security_groups = ["sg-1"] }}
endpoint = {{ kind = "async", instance_type = "ml.m5.large", output = "s3://clinic-answers/a", ttl_hours = 8 }}
"""  # noqa: E501


@pytest.fixture
def clinic(tmp_path: Path) -> Path:
    file = tmp_path / "clinic.toml"
    file.write_text(VETS)
    return file


def test_the_template_passes_cfn_lint(clinic: Path, tmp_path: Path) -> None:
    extras = ("--github", "owner/repo", "--budget", "50", "--email", "a@example.com")
    done = kennel("setup", str(clinic), "--dry-run", *extras)
    assert done.code == 0, done.err
    template = tmp_path / "template.json"
    template.write_text(done.out)
    lint = [str(Path(sys.executable).with_name("cfn-lint")), str(template)]
    checked = subprocess.run(lint, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout
    resources = json.loads(done.out)["Resources"]
    scanned = resources["Repository"]["Properties"]["ImageScanningConfiguration"]
    assert scanned == {"ScanOnPush": True}  # moto's ECR forgets it
    kinds = sorted(one["Type"] for one in resources.values())
    assert kinds == sorted(
        ["AWS::S3::Bucket"] * 3
        + ["AWS::ECR::Repository"] * 2
        + ["AWS::IAM::Role"] * 3
        + ["AWS::IAM::OIDCProvider", "AWS::Budgets::Budget"]
    )


def test_an_empty_account_is_set_up_and_cleaned_up(moto: str, clinic: Path) -> None:
    made = kennel("setup", str(clinic), "--yes")
    assert made.code == 0, made.err
    assert "create  AWS::S3::Bucket" in made.out
    assert "next: kennel data upload PHOTOS s3://clinic-photos/v1" in made.err
    s3, iam, ecr = (boto3.client(name) for name in ("s3", "iam", "ecr"))
    for bucket in ("clinic-jobs", "clinic-photos", "clinic-answers"):
        rules = s3.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]
        default = rules["Rules"][0]["ApplyServerSideEncryptionByDefault"]
        assert default["KMSMasterKeyID"] == "11111111-2222-3333-4444-555555555555"
    role = iam.get_role(RoleName="clinic")["Role"]
    assert role["Path"] == "/team/"
    assert role["AssumeRolePolicyDocument"] == rights.trust()
    stored = iam.get_role_policy(RoleName="clinic", PolicyName="kennel")["PolicyDocument"]
    wanted = rights.policy(spec.check(_table(), "test"), PLACE)
    assert stored in (wanted, str(wanted))  # moto's CloudFormation stores the text of a dict
    repository = ecr.describe_repositories(repositoryNames=["clinic-train"])["repositories"][0]
    assert repository["imageTagMutability"] == "IMMUTABLE"

    # Doctor now misses only photos and images.
    found = json.loads(kennel("doctor", str(clinic), "--json").out)
    missing = [one["check"] for one in found if one["fix"] and not one["optional"]]
    assert {name.partition(" ")[0] for name in missing} == {"photos", "image"}

    # Without ttl_hours the role that deletes the endpoint is removed.
    clinic.write_text(VETS.replace(", ttl_hours = 8", ""))
    changed = kennel("setup", str(clinic), "--yes")
    assert [line.split()[-1] for line in changed.out.splitlines() if "remove" in line] == [
        "clinic-expiry"
    ]

    s3.put_object(Bucket="clinic-photos", Key="v1/train/a/1.jpg", Body=b"x")
    removed = kennel("setup", str(clinic), "--down", "--yes")
    assert removed.code == 0, removed.err
    assert "kept bucket clinic-photos: it is not empty" in removed.err
    assert "deleted bucket clinic-jobs: it was empty" in removed.err
    assert "deleted repository clinic-train: it was empty" in removed.err
    assert [one["Name"] for one in s3.list_buckets()["Buckets"] if "clinic" in one["Name"]] == [
        "clinic-photos"
    ]
    with pytest.raises(iam.exceptions.NoSuchEntityException):
        iam.get_role(RoleName="clinic")
    again = kennel("setup", str(clinic), "--down", "--yes")
    assert again.code == 1
    assert "there is no stack kennel-clinic in us-east-1" in again.err

    # A bucket that exists is used as it is, and belongs to no stack.
    used = kennel("setup", str(clinic), "--yes")
    assert "exists, and is used as it is: AWS::S3::Bucket clinic-photos" in used.err
    kennel("setup", str(clinic), "--down", "--yes")
    assert s3.head_object(Bucket="clinic-photos", Key="v1/train/a/1.jpg")


def test_another_account_than_the_role_s_is_refused(moto: str, clinic: Path) -> None:
    clinic.write_text(VETS.replace(ACCOUNT, "111122223333"))
    done = kennel("setup", str(clinic), "--yes")
    assert done.code == 1
    assert "is in account 111122223333, but you are in account 123456789012" in done.err


def test_nothing_is_created_without_a_yes(moto: str, clinic: Path) -> None:
    done = kennel("setup", str(clinic))
    assert done.code == 1
    assert "create stack kennel-clinic on account 123456789012" in done.err
    stacks = boto3.client("cloudformation").list_stacks()["StackSummaries"]
    assert {one["StackStatus"] for one in stacks} <= {"DELETE_COMPLETE"}


def test_the_policy_is_printed_for_administrators(clinic: Path) -> None:
    found = json.loads(kennel("setup", str(clinic), "--policy").out)
    assert list(found) == ["clinic", "clinic-expiry"]
    assert found["clinic"]["trust"] == rights.trust()
    assert found["clinic-expiry"]["trust"] == rights.trust("scheduler.amazonaws.com")


def _table() -> dict[str, Any]:
    return tomllib.loads(VETS)


S3 = "arn:aws:s3:::"
LOGS = f"arn:aws:logs:us-east-1:{ACCOUNT}:log-group:/aws/sagemaker/"
ECR = f"arn:aws:ecr:us-east-1:{ACCOUNT}:repository/"
KMS = f"arn:aws:kms:us-east-1:{ACCOUNT}:key/"
NEEDED = [
    ("s3:GetObject", f"{S3}clinic-photos/v1/train/beagle/1.jpg"),
    ("s3:GetObject", f"{S3}clinic-photos/v1/valid/beagle/1.jpg"),
    ("s3:PutObject", f"{S3}clinic-jobs/out/job/output/model.tar.gz"),
    ("s3:GetObject", f"{S3}clinic-jobs/out/job/output/model.tar.gz"),
    ("s3:PutObject", f"{S3}clinic-answers/a/1.out"),
    ("s3:ListBucket", f"{S3}clinic-photos"),
    ("s3:GetBucketLocation", f"{S3}clinic-jobs"),
    ("ecr:GetAuthorizationToken", "*"),
    ("ecr:BatchGetImage", f"{ECR}clinic-train"),
    ("ecr:GetDownloadUrlForLayer", f"{ECR}clinic-serve"),
    ("logs:PutLogEvents", f"{LOGS}TrainingJobs:log-stream:x/algo-1"),
    ("cloudwatch:PutMetricData", "*"),
    ("kms:GenerateDataKey", f"{KMS}11111111-2222-3333-4444-555555555555"),
    ("kms:CreateGrant", f"{KMS}11111111-2222-3333-4444-555555555555"),
    ("ec2:CreateNetworkInterface", "*"),
    ("ec2:DeleteNetworkInterface", "*"),
]
NOT_NEEDED = [
    ("s3:GetObject", f"{S3}clinic-photos/v2/train/beagle/1.jpg"),
    ("s3:GetObject", f"{S3}clinic-photos/v1/trainers/secret.jpg"),
    ("s3:PutObject", f"{S3}clinic-photos/v1/train/beagle/1.jpg"),
    ("s3:PutObject", f"{S3}clinic-jobs/other/x"),
    ("s3:DeleteBucket", f"{S3}clinic-jobs"),
    ("s3:GetObject", f"{S3}elsewhere/x"),
    ("ecr:PutImage", f"{ECR}clinic-train"),
    ("ecr:BatchGetImage", f"{ECR}others"),
    ("logs:PutLogEvents", f"arn:aws:logs:us-east-1:{ACCOUNT}:log-group:/aws/lambda/x"),
    ("kms:Decrypt", f"{KMS}99999999-2222-3333-4444-555555555555"),
    ("kms:ScheduleKeyDeletion", f"{KMS}11111111-2222-3333-4444-555555555555"),
    ("iam:PassRole", f"arn:aws:iam::{ACCOUNT}:role/team/clinic"),
    ("sagemaker:CreateTrainingJob", "*"),
    ("sts:AssumeRole", f"arn:aws:iam::{ACCOUNT}:role/admin"),
]


@pytest.mark.parametrize(("action", "resource"), NEEDED)
def test_the_role_may_do_what_jobs_need(action: str, resource: str) -> None:
    assert _allowed(action, resource), f"{action} on {resource} is needed"


@pytest.mark.parametrize(("action", "resource"), NOT_NEEDED)
def test_the_role_may_do_nothing_else(action: str, resource: str) -> None:
    assert not _allowed(action, resource), f"{action} on {resource} is not needed"


def _allowed(action: str, resource: str) -> bool:
    """moto's evaluator of policies; it does not look at conditions."""
    document = rights.policy(spec.check(_table(), "test"), PLACE)
    policy = IAMPolicy(json.dumps(document))
    return bool(policy.is_action_permitted(action, resource) == PermissionResult.PERMITTED)
