"""Looking at endpoints, asking them, and taking them down. Pure functions."""

from typing import Any

from scripts.requests.hosting import VARIANT
from scripts.requests.request import Request, given


def described(name: str) -> Request:
    """DescribeEndpoint."""
    return Request("sagemaker", "DescribeEndpoint", {"EndpointName": name})


def described_config(name: str) -> Request:
    """DescribeEndpointConfig."""
    return Request("sagemaker", "DescribeEndpointConfig", {"EndpointConfigName": name})


def listed(contains: str | None) -> Request:
    """ListEndpoints, newest first."""
    parameters = {"NameContains": contains, "SortBy": "CreationTime", "SortOrder": "Descending"}
    return Request("sagemaker", "ListEndpoints", given(parameters))


def tags(arn: str) -> Request:
    """ListTags of any of SageMaker's resources."""
    return Request("sagemaker", "ListTags", {"ResourceArn": arn})


def updated(name: str, config: str) -> Request:
    """UpdateEndpoint: the new config takes over when its instances are healthy."""
    parameters = {"EndpointName": name, "EndpointConfigName": config}
    return Request("sagemaker", "UpdateEndpoint", parameters)


def deleted(name: str) -> Request:
    """DeleteEndpoint."""
    return Request("sagemaker", "DeleteEndpoint", {"EndpointName": name})


def deleted_config(name: str) -> Request:
    """DeleteEndpointConfig."""
    return Request("sagemaker", "DeleteEndpointConfig", {"EndpointConfigName": name})


def deleted_model(name: str) -> Request:
    """DeleteModel."""
    return Request("sagemaker", "DeleteModel", {"ModelName": name})


def unscaled(name: str) -> Request:
    """DeregisterScalableTarget, which takes the scaling policy with it."""
    parameters = {
        "ServiceNamespace": "sagemaker",
        "ResourceId": f"endpoint/{name}/variant/{VARIANT}",
        "ScalableDimension": "sagemaker:variant:DesiredInstanceCount",
    }
    return Request("application-autoscaling", "DeregisterScalableTarget", parameters)


def invoked(
    name: str, body: bytes | str, content_type: str, accept: str, model: str | None
) -> Request:
    """InvokeEndpoint with one picture's own bytes.

    Args:
        name: of the endpoint.
        body: the picture; a dry run has its path instead.
        content_type: of the picture.
        accept: the answer's format.
        model: of a multi-model endpoint, the archive below its folder.
    """
    parameters: dict[str, Any] = {
        "EndpointName": name,
        "Body": body,
        "ContentType": content_type,
        "Accept": accept,
        "TargetModel": model,
    }
    return Request("sagemaker-runtime", "InvokeEndpoint", given(parameters))


def queued(name: str, location: str, content_type: str, accept: str) -> Request:
    """InvokeEndpointAsync about an object in S3."""
    parameters = {
        "EndpointName": name,
        "InputLocation": location,
        "ContentType": content_type,
        "Accept": accept,
    }
    return Request("sagemaker-runtime", "InvokeEndpointAsync", parameters)


def put(bucket: str, key: str, body: bytes) -> Request:
    """PutObject."""
    return Request("s3", "PutObject", {"Bucket": bucket, "Key": key, "Body": body})


def fetched(bucket: str, key: str) -> Request:
    """GetObject."""
    return Request("s3", "GetObject", {"Bucket": bucket, "Key": key})
