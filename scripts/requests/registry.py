"""Repositories in ECR, and images and their versions in SageMaker. Pure functions."""

import json
from collections.abc import Sequence
from typing import Any, Literal

from scripts.requests.request import Request

_UNTAGGED_DAYS = 14


def repository(name: str) -> list[Request]:
    """CreateRepository, with tags that never move and a scan of every push; and its lifecycle."""
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
    """PutLifecyclePolicy: images without a tag go after two weeks."""
    rule = {
        "rulePriority": 1,
        "description": "images that no tag names",
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
    """GetAuthorizationToken: a password for `docker login`, good for twelve hours."""
    return Request("ecr", "GetAuthorizationToken", {})


def image(name: str, role: str, description: str) -> Request:
    """CreateImage: the name under which versions are registered."""
    parameters = {"ImageName": name, "RoleArn": role, "Description": description}
    return Request("sagemaker", "CreateImage", parameters)


def image_version(
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
        name: of the image.
        base_image: its ECR URI.
        job_type: what it is for.
        framework: such as `PyTorch 2.15`.
        processor: what it is built for.
        aliases: names for this version that later ones may take over.
        token: the same token makes the same version only once; letters, digits, hyphens, 36.
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


def described_image(name: str) -> Request:
    """DescribeImage."""
    return Request("sagemaker", "DescribeImage", {"ImageName": name})


def described_version(name: str, alias: str | None = None, version: int | None = None) -> Request:
    """DescribeImageVersion, by alias or number; the newest without either."""
    parameters: dict[str, Any] = {"ImageName": name}
    if alias is not None:
        parameters["Alias"] = alias
    if version is not None:
        parameters["Version"] = version
    return Request("sagemaker", "DescribeImageVersion", parameters)


def described_repository(name: str) -> Request:
    """DescribeRepositories, of one."""
    return Request("ecr", "DescribeRepositories", {"repositoryNames": [name]})


def described_images(repository_name: str, identity: dict[str, str]) -> Request:
    """DescribeImages, of one: by `imageTag` or `imageDigest`."""
    parameters = {"repositoryName": repository_name, "imageIds": [identity]}
    return Request("ecr", "DescribeImages", parameters)
