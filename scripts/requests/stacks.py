"""CloudFormation: create, update, describe and delete one stack. Pure functions."""

from typing import Any

from scripts.requests.request import Request, tags


def describe(name: str) -> Request:
    """DescribeStacks, for one."""
    return Request("cloudformation", "DescribeStacks", {"StackName": name})


def resources(name: str) -> Request:
    """ListStackResources."""
    return Request("cloudformation", "ListStackResources", {"StackName": name})


def events(name: str) -> Request:
    """DescribeStackEvents, newest first."""
    return Request("cloudformation", "DescribeStackEvents", {"StackName": name})


def create(name: str, template: str, tagged: dict[str, str]) -> Request:
    """CreateStack; what was created is rolled back if one resource fails."""
    return Request("cloudformation", "CreateStack", _settings(name, template, tagged))


def update(name: str, template: str, tagged: dict[str, str]) -> Request:
    """UpdateStack."""
    return Request("cloudformation", "UpdateStack", _settings(name, template, tagged))


def delete(name: str) -> Request:
    """DeleteStack."""
    return Request("cloudformation", "DeleteStack", {"StackName": name})


def delete_bucket(name: str) -> Request:
    """DeleteBucket; S3 refuses one that is not empty."""
    return Request("s3", "DeleteBucket", {"Bucket": name})


def delete_repository(name: str) -> Request:
    """DeleteRepository; ECR refuses one that has images."""
    return Request("ecr", "DeleteRepository", {"repositoryName": name})


def get_provider(arn: str) -> Request:
    """GetOpenIDConnectProvider."""
    return Request("iam", "GetOpenIDConnectProvider", {"OpenIDConnectProviderArn": arn})


def _settings(name: str, template: str, tagged: dict[str, str]) -> dict[str, Any]:
    return {
        "StackName": name,
        "TemplateBody": template,
        "Capabilities": ["CAPABILITY_NAMED_IAM"],  # the role has the name in the spec
        "Tags": tags(tagged),
    }
