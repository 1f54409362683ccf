"""Repositories in ECR, and images and their versions in SageMaker. Pure functions."""

import json
from collections.abc import Sequence
from typing import Any, Literal

from scripts.requests.request import Request

_UNTAGGED_DAYS = 14


def create_repository(name: str) -> list[Request]:
    """CreateRepository with immutable tags and a scan of every push, and its lifecycle policy."""
    return [
        Request(
            "ecr",
            "CreateRepository",
            {
                "repositoryName": name,
                "imageTagMutability": "IMMUTABLE",
                "imageScanningConfiguration": {"scanOnPush": True},
            },
        ),
        lifecycle(name),
    ]


def lifecycle(name: str) -> Request:
    """PutLifecyclePolicy: untagged images are deleted after two weeks."""
    rule = {
        "rulePriority": 1,
        "description": "untagged images",
        "selection": {
            "tagStatus": "untagged",
            "countType": "sinceImagePushed",
            "countUnit": "days",
            "countNumber": _UNTAGGED_DAYS,
        },
        "action": {"type": "expire"},
    }
    parameters = {"repositoryName": name, "lifecyclePolicyText": json.dumps({"rules": [rule]})}
    return Request("ecr", "PutLifecyclePolicy", parameters)


def login() -> Request:
    """GetAuthorizationToken: a password for `docker login`, valid for twelve hours."""
    return Request("ecr", "GetAuthorizationToken", {})


def create_image(name: str, role: str, description: str) -> Request:
    """CreateImage: the name that versions are registered under."""
    parameters = {"ImageName": name, "RoleArn": role, "Description": description}
    return Request("sagemaker", "CreateImage", parameters)


def create_image_version(
    name: str,
    base_image: str,
    *,
    job_type: Literal["TRAINING", "INFERENCE"],
    framework: str,
    processor: Literal["CPU", "GPU"],
    aliases: Sequence[str],
    token: str,
    notes: str,
) -> Request:
    """CreateImageVersion.

    Args:
        name: the image's name.
        base_image: its ECR URI.
        job_type: what the image does.
        framework: such as `PyTorch 2.15`.
        processor: what the image is built for.
        aliases: names for this version; a later version can take them over.
        token: AWS creates one version per token; at most 36 letters, digits and hyphens.
        notes: release notes.
    """
    parameters = {
        "ImageName": name,
        "BaseImage": base_image,
        "ClientToken": token,
        "Aliases": list(aliases),
        "JobType": job_type,
        "MLFramework": framework,
        "Processor": processor,
        "ReleaseNotes": notes,
    }
    return Request("sagemaker", "CreateImageVersion", parameters)


def describe_image(name: str) -> Request:
    """DescribeImage."""
    return Request("sagemaker", "DescribeImage", {"ImageName": name})


def describe_version(name: str, alias: str | None = None, version: int | None = None) -> Request:
    """DescribeImageVersion, by alias or number; the newest if neither is given."""
    parameters: dict[str, Any] = {"ImageName": name}
    if alias is not None:
        parameters["Alias"] = alias
    if version is not None:
        parameters["Version"] = version
    return Request("sagemaker", "DescribeImageVersion", parameters)


def describe_repository(name: str) -> Request:
    """DescribeRepositories, for one."""
    return Request("ecr", "DescribeRepositories", {"repositoryNames": [name]})


def describe_ecr_image(repository_name: str, identity: dict[str, str]) -> Request:
    """DescribeImages, for one image: by `imageTag` or `imageDigest`."""
    parameters = {"repositoryName": repository_name, "imageIds": [identity]}
    return Request("ecr", "DescribeImages", parameters)
