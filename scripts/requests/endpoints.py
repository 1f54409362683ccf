"""Describe, list, invoke and delete endpoints. Pure functions."""

import math
from datetime import datetime, timedelta
from typing import Any

from scripts.requests.hosting import VARIANT, scalable_target
from scripts.requests.request import Request, given


def describe(name: str) -> Request:
    """DescribeEndpoint."""
    return Request("sagemaker", "DescribeEndpoint", {"EndpointName": name})


def describe_config(name: str) -> Request:
    """DescribeEndpointConfig."""
    return Request("sagemaker", "DescribeEndpointConfig", {"EndpointConfigName": name})


def list_endpoints(contains: str | None) -> Request:
    """ListEndpoints, newest first."""
    parameters = {"NameContains": contains, "SortBy": "CreationTime", "SortOrder": "Descending"}
    return Request("sagemaker", "ListEndpoints", given(parameters))


def tags(arn: str) -> Request:
    """ListTags of any SageMaker resource."""
    return Request("sagemaker", "ListTags", {"ResourceArn": arn})


def tag(arn: str, key: str, value: str) -> Request:
    """AddTags with one tag; it replaces an older value."""
    tags = [{"Key": key, "Value": value}]
    return Request("sagemaker", "AddTags", {"ResourceArn": arn, "Tags": tags})


def update(name: str, config: str) -> Request:
    """UpdateEndpoint: the new config takes over once its instances are healthy."""
    parameters = {"EndpointName": name, "EndpointConfigName": config}
    return Request("sagemaker", "UpdateEndpoint", parameters)


def delete(name: str) -> Request:
    """DeleteEndpoint."""
    return Request("sagemaker", "DeleteEndpoint", {"EndpointName": name})


def delete_config(name: str) -> Request:
    """DeleteEndpointConfig."""
    return Request("sagemaker", "DeleteEndpointConfig", {"EndpointConfigName": name})


def delete_model(name: str) -> Request:
    """DeleteModel."""
    return Request("sagemaker", "DeleteModel", {"ModelName": name})


def deregister_scaling(name: str) -> Request:
    """DeregisterScalableTarget; this also removes the scaling policy."""
    return Request("application-autoscaling", "DeregisterScalableTarget", scalable_target(name))


def invoke(
    name: str,
    body: bytes | str,
    content_type: str,
    accept: str,
    model: str | None,
    attributes: str | None = None,
) -> Request:
    """InvokeEndpoint with the bytes of one picture.

    Args:
        name: the endpoint's name.
        body: the picture; a dry run has its path instead.
        content_type: the picture's content type.
        accept: the format of the answer.
        model: which archive in the folder of a multi-model endpoint; None for other endpoints.
        attributes: what else is asked for, such as `explain=gradcam`.
    """
    parameters: dict[str, Any] = {
        "EndpointName": name,
        "Body": body,
        "ContentType": content_type,
        "Accept": accept,
        "TargetModel": model,
        "CustomAttributes": attributes,
    }
    return Request("sagemaker-runtime", "InvokeEndpoint", given(parameters))


def invocations(name: str, since: datetime, until: datetime) -> Request:
    """GetMetricStatistics: the requests to all variants, in periods that one answer can hold."""
    # An answer has at most 1,440 datapoints. Source: GetMetricStatistics.
    age = (until - since).total_seconds()
    unit = 300 if age < 15 * 86_400 else 3600  # after 63 days only hours are left
    period = max(1, math.ceil(age / 1440 / unit)) * unit
    parameters = {
        "Namespace": "AWS/SageMaker",
        "MetricName": "Invocations",
        "Dimensions": [
            {"Name": "EndpointName", "Value": name},
            {"Name": "VariantName", "Value": VARIANT},
        ],
        "StartTime": since - timedelta(seconds=period),
        "EndTime": until,
        "Period": period,
        "Statistics": ["Sum"],
    }
    return Request("cloudwatch", "GetMetricStatistics", parameters)


def invoke_async(name: str, location: str, content_type: str, accept: str) -> Request:
    """InvokeEndpointAsync with an object in S3."""
    parameters = {
        "EndpointName": name,
        "InputLocation": location,
        "ContentType": content_type,
        "Accept": accept,
    }
    return Request("sagemaker-runtime", "InvokeEndpointAsync", parameters)
