"""The CloudFormation template of an experiment."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from scripts.requests import registry
from scripts.spec import Experiment
from scripts.stack import addresses, rights
from scripts.stack.addresses import Place

Resource = dict[str, Any]
_PROVIDER = "token.actions.githubusercontent.com"


@dataclass(frozen=True)
class Extras:
    """What the user asks for on top of bucket, role and repositories.

    Args:
        github: `owner/name` of a repository whose workflows push images and run jobs.
        budget: US dollars a month for this account.
        email: who gets an e-mail when 80 % of the budget is spent.
    """

    github: str = ""
    budget: float = 0
    email: str = ""


@dataclass(frozen=True)
class Planned:
    """One resource of the template.

    Args:
        logical: its name in the template.
        physical: its name or ARN in the account.
        body: its type and properties.
    """

    logical: str
    physical: str
    body: Resource

    @property
    def kind(self) -> str:
        """Its type in CloudFormation."""
        return str(self.body["Type"])


def plan(experiment: Experiment, place: Place, extras: Extras) -> list[Planned]:
    """Return everything that the experiment needs, whether or not it exists already."""
    return list(_plan(experiment, place, extras))


def template(planned: list[Planned], experiment: Experiment) -> dict[str, Any]:
    """Return the template with these resources."""
    return {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": f"Kennel: what the experiment {experiment.name} needs",
        "Resources": {one.logical: one.body for one in planned},
    }


def stack_name(experiment: Experiment) -> str:
    """Return the name of the stack."""
    return f"kennel-{experiment.name}"


def github_role(experiment: Experiment) -> str:
    """Return the name of the role of GitHub's workflows."""
    return f"{addresses.role_name(experiment)[:57]}-github"


def scheduler_role(experiment: Experiment) -> str:
    """Return the name of the role that deletes endpoints at the end of ttl_hours."""
    return f"{addresses.role_name(experiment)[:57]}-expiry"


def scheduler_role_arn(experiment: Experiment) -> str:
    """Return the ARN of that role."""
    _, partition, _, _, account, _ = experiment.role.split(":", 5)
    return f"arn:{partition}:iam::{account}:role/{scheduler_role(experiment)}"


def _plan(experiment: Experiment, place: Place, extras: Extras) -> Iterator[Planned]:
    for number, bucket in enumerate(addresses.buckets(experiment)):
        yield Planned(f"Bucket{number or ''}", bucket, _bucket(bucket, experiment.kms_key))
    yield Planned(
        "Role",
        addresses.role_name(experiment),
        _role(
            addresses.role_name(experiment),
            rights.trust(),
            rights.policy(experiment, place),
            addresses.role_path(experiment),
        ),
    )
    for number, name in enumerate(addresses.repositories(experiment, place)):
        yield Planned(f"Repository{number or ''}", name, _repository(name))
    if getattr(experiment.endpoint, "ttl_hours", None):
        name = scheduler_role(experiment)
        trust = rights.trust("scheduler.amazonaws.com")
        body = _role(name, trust, rights.scheduler_policy(experiment, place))
        yield Planned("ExpiryRole", name, body)
    if extras.github:
        yield from _github(experiment, place, extras.github)
    if extras.budget:
        yield Planned("Budget", f"kennel-{experiment.name}", _budget(experiment.name, extras))


def _bucket(name: str, kms_key: str | None) -> Resource:
    """A private, encrypted bucket. Deleting the stack keeps it: it holds photos and bundles."""
    encryption: dict[str, Any] = {"SSEAlgorithm": "AES256"}
    if kms_key:
        encryption = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": kms_key}
    closed = ("BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets")
    rule = {
        "Id": "unfinished-uploads",
        "Status": "Enabled",
        "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 7},
    }
    return {
        "Type": "AWS::S3::Bucket",
        "DeletionPolicy": "Retain",
        "UpdateReplacePolicy": "Retain",
        "Properties": {
            "BucketName": name,
            "BucketEncryption": {
                "ServerSideEncryptionConfiguration": [
                    {"ServerSideEncryptionByDefault": encryption, "BucketKeyEnabled": True}
                ]
            },
            "PublicAccessBlockConfiguration": dict.fromkeys(closed, True),
            "OwnershipControls": {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]},
            "LifecycleConfiguration": {"Rules": [rule]},
        },
    }


def _role(name: str, trust: Resource, policy: Resource, path: str = "/") -> Resource:
    return {
        "Type": "AWS::IAM::Role",
        "Properties": {
            "RoleName": name,
            "Path": path,
            "AssumeRolePolicyDocument": trust,
            "Policies": [{"PolicyName": "kennel", "PolicyDocument": policy}],
        },
    }


def _repository(name: str) -> Resource:
    """A repository as `kennel push` creates it. Deleting the stack keeps it: it holds images."""
    create, lifecycle = registry.create_repository(name)
    return {
        "Type": "AWS::ECR::Repository",
        "DeletionPolicy": "Retain",
        "UpdateReplacePolicy": "Retain",
        "Properties": {
            "RepositoryName": name,
            "ImageTagMutability": create.parameters["imageTagMutability"],
            "ImageScanningConfiguration": {
                "ScanOnPush": create.parameters["imageScanningConfiguration"]["scanOnPush"]
            },
            "LifecyclePolicy": {"LifecyclePolicyText": lifecycle.parameters["lifecyclePolicyText"]},
        },
    }


def _github(experiment: Experiment, place: Place, repository: str) -> Iterator[Planned]:
    arn = f"arn:{place.partition}:iam::{place.account}:oidc-provider/{_PROVIDER}"
    provider = {
        "Type": "AWS::IAM::OIDCProvider",
        "DeletionPolicy": "Retain",  # an account has one for all of its repositories
        "UpdateReplacePolicy": "Retain",
        "Properties": {"Url": f"https://{_PROVIDER}", "ClientIdList": ["sts.amazonaws.com"]},
    }
    yield Planned("GitHub", arn, provider)
    name = github_role(experiment)
    trust = rights.github_trust(arn, repository)
    yield Planned("GitHubRole", name, _role(name, trust, rights.github_policy(experiment, place)))


def _budget(name: str, extras: Extras) -> Resource:
    properties: dict[str, Any] = {
        "Budget": {
            "BudgetName": f"kennel-{name}",
            "BudgetType": "COST",
            "TimeUnit": "MONTHLY",
            "BudgetLimit": {"Amount": extras.budget, "Unit": "USD"},
        }
    }
    if extras.email:
        notification = {
            "NotificationType": "ACTUAL",
            "ComparisonOperator": "GREATER_THAN",
            "Threshold": 80,
        }
        subscriber = {"SubscriptionType": "EMAIL", "Address": extras.email}
        properties["NotificationsWithSubscribers"] = [
            {"Notification": notification, "Subscribers": [subscriber]}
        ]
    return {"Type": "AWS::Budgets::Budget", "Properties": properties}
