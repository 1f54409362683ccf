"""Create models, endpoints, autoscaling and batch transform jobs. Pure functions."""

from datetime import UTC, datetime, timedelta
from typing import Any

from scripts.requests import objects
from scripts.requests.request import Request, given, tags
from scripts.requests.training import owned, vpc
from scripts.spec import Experiment
from scripts.spec.endpoint import (
    Asynchronous,
    Hosted,
    MultiModel,
    RealTime,
    Serverless,
    Transform,
)
from scripts.spec.instances import has_gpu, has_local_disk

VARIANT = "AllTraffic"
# The tag that says when an endpoint should be gone (ISO 8601); `kennel endpoints` shows it.
EXPIRES = "kennel:expires"
# SageMaker's default hosts have driver 470, too old for the CUDA in the images; this AMI has 580.
_GPU_AMI = "al2023-ami-sagemaker-inference-gpu-4-1"
_MAX_PAYLOAD, _DEFAULT_PAYLOAD_MB = "SAGEMAKER_MAX_PAYLOAD_IN_MB", 6


def model(experiment: Experiment, name: str, image: str, data: str | None) -> Request:
    """CreateModel.

    Args:
        experiment: must have an `[endpoint]` section.
        name: the model's name.
        image: ECR URI of the serve image; aliases are already resolved.
        data: S3 URI of a model.tar.gz; ignored by a multi-model endpoint, which reads a folder.
    """
    endpoint = experiment.endpoint
    assert endpoint is not None
    container: dict[str, Any] = {"Image": image}
    if isinstance(endpoint, MultiModel):
        container["Mode"] = "MultiModel"
        container["ModelDataUrl"] = endpoint.models
        container["MultiModelConfig"] = {
            "ModelCacheSetting": "Enabled" if endpoint.cache else "Disabled"
        }
    else:
        container["ModelDataUrl"] = data
    # A transform job carries its own environment.
    container["Environment"] = (
        {} if isinstance(endpoint, Transform) else _payload(endpoint) | endpoint.environment
    )
    parameters = {
        "ModelName": name,
        "PrimaryContainer": given(container),
        "ExecutionRoleArn": experiment.role,
        "VpcConfig": vpc(experiment),
        "EnableNetworkIsolation": endpoint.network_isolation or None,
        "Tags": tags(owned(experiment)),
    }
    return Request("sagemaker", "CreateModel", given(parameters))


def endpoint_config(experiment: Experiment, name: str, model_name: str) -> Request:
    """CreateEndpointConfig, for all kinds of endpoints."""
    endpoint = experiment.endpoint
    assert isinstance(endpoint, Hosted)
    variant = {"VariantName": VARIANT, "ModelName": model_name} | _capacity(endpoint)
    # Serverless endpoints have no volume and refuse a key.
    serverless = isinstance(endpoint, Serverless)
    parameters = {
        "EndpointConfigName": name,
        "ProductionVariants": [variant],
        "AsyncInferenceConfig": _asynchronous(endpoint, experiment.kms_key)
        if isinstance(endpoint, Asynchronous)
        else None,
        "KmsKeyId": None if serverless else _volume_key(experiment, endpoint),
        "Tags": tags(owned(experiment)),
    }
    return Request("sagemaker", "CreateEndpointConfig", given(parameters))


def endpoint(experiment: Experiment, name: str, config: str, now: datetime) -> Request:
    """CreateEndpoint, with a tag that says when it should be gone."""
    hosted = experiment.endpoint
    assert isinstance(hosted, Hosted)
    marks = owned(experiment)
    if end := ends(experiment, now):
        marks |= {EXPIRES: end.isoformat(timespec="seconds")}
    parameters = {"EndpointName": name, "EndpointConfigName": config, "Tags": tags(marks)}
    return Request("sagemaker", "CreateEndpoint", parameters)


def ends(experiment: Experiment, now: datetime) -> datetime | None:
    """Return when an endpoint that is deployed now ends by itself; None without ttl_hours."""
    hours = getattr(experiment.endpoint, "ttl_hours", None)
    return now.astimezone(UTC) + timedelta(hours=hours) if hours else None


def autoscaling(experiment: Experiment, endpoint_name: str) -> list[Request]:
    """RegisterScalableTarget and PutScalingPolicy, for a running endpoint; empty if not set."""
    hosted = experiment.endpoint
    if not isinstance(hosted, RealTime | Asynchronous | MultiModel) or not hosted.autoscaling:
        return []
    scaling = hosted.autoscaling
    target = scalable_target(endpoint_name)
    # An asynchronous endpoint scales by the length of its queue.
    if isinstance(hosted, Asynchronous):
        metric: dict[str, Any] = {
            "CustomizedMetricSpecification": {
                "MetricName": "ApproximateBacklogSizePerInstance",
                "Namespace": "AWS/SageMaker",
                "Dimensions": [{"Name": "EndpointName", "Value": endpoint_name}],
                "Statistic": "Average",
            }
        }
    else:
        name = "SageMakerVariantInvocationsPerInstance"
        metric = {"PredefinedMetricSpecification": {"PredefinedMetricType": name}}
    tracking = metric | {
        "TargetValue": float(scaling.invocations_per_instance),
        "ScaleInCooldown": scaling.scale_in_seconds,
        "ScaleOutCooldown": scaling.scale_out_seconds,
    }
    policy = target | {
        "PolicyName": f"{endpoint_name}-invocations",
        "PolicyType": "TargetTrackingScaling",
        "TargetTrackingScalingPolicyConfiguration": tracking,
    }
    bounds = target | {"MinCapacity": scaling.min, "MaxCapacity": scaling.max}
    return [
        Request("application-autoscaling", "RegisterScalableTarget", bounds),
        Request("application-autoscaling", "PutScalingPolicy", policy),
    ]


def scalable_target(endpoint_name: str) -> dict[str, str]:
    """What Application Auto Scaling scales: the instances of an endpoint."""
    return {
        "ServiceNamespace": "sagemaker",
        "ResourceId": f"endpoint/{endpoint_name}/variant/{VARIANT}",
        "ScalableDimension": "sagemaker:variant:DesiredInstanceCount",
    }


def transform_job(experiment: Experiment, name: str, model_name: str) -> Request:
    """CreateTransformJob: each object below the input is one request."""
    batch = experiment.endpoint
    assert isinstance(batch, Transform)
    source = {"S3DataType": "S3Prefix", "S3Uri": objects.prefix(batch.input)}
    resources = {"InstanceType": batch.instance_type, "InstanceCount": batch.instance_count}
    parameters = {
        "TransformJobName": name,
        "ModelName": model_name,
        "MaxConcurrentTransforms": batch.concurrent,
        "ModelClientConfig": {"InvocationsTimeoutInSeconds": batch.timeout_seconds},
        "MaxPayloadInMB": batch.max_payload_mb,
        "BatchStrategy": "SingleRecord",
        "Environment": _payload(batch) | batch.environment,
        "TransformInput": {
            "DataSource": {"S3DataSource": source},
            "ContentType": batch.content_type,
            "SplitType": "None",
        },
        "TransformOutput": given(
            {
                "S3OutputPath": batch.output,
                "Accept": batch.accept,
                "AssembleWith": "None",
                "KmsKeyId": experiment.kms_key,
            }
        ),
        "TransformResources": given(resources | {"VolumeKmsKeyId": _volume_key(experiment, batch)}),
        "Tags": tags(owned(experiment)),
    }
    return Request("sagemaker", "CreateTransformJob", given(parameters))


def _payload(endpoint: Hosted | Transform) -> dict[str, str]:
    """What the server must take, where it is not its default of 6 MiB.

    Source: InvokeEndpointAsync takes up to 1 GB; a transform job sends up to MaxPayloadInMB.
    """
    if isinstance(endpoint, Asynchronous):
        return {_MAX_PAYLOAD: "1024"}
    if isinstance(endpoint, Transform) and endpoint.max_payload_mb > _DEFAULT_PAYLOAD_MB:
        return {_MAX_PAYLOAD: str(endpoint.max_payload_mb)}
    return {}


def _capacity(endpoint: Hosted) -> dict[str, Any]:
    """The instances or the serverless capacity of a production variant."""
    if isinstance(endpoint, Serverless):
        return {
            "ServerlessConfig": given(
                {
                    "MemorySizeInMB": endpoint.memory_mb,
                    "MaxConcurrency": endpoint.concurrency,
                    "ProvisionedConcurrency": endpoint.provisioned,
                }
            )
        }
    default_ami = _GPU_AMI if has_gpu(endpoint.instance_type) else None
    return given(
        {
            "InstanceType": endpoint.instance_type,
            "InitialInstanceCount": endpoint.instance_count,
            "VolumeSizeInGB": endpoint.volume_gb,
            "ContainerStartupHealthCheckTimeoutInSeconds": endpoint.startup_seconds,
            "ModelDataDownloadTimeoutInSeconds": endpoint.download_seconds,
            "InferenceAmiVersion": endpoint.inference_ami or default_ami,
        }
    )


def _asynchronous(endpoint: Asynchronous, key: str | None) -> dict[str, Any]:
    topics = {"SuccessTopic": endpoint.success_topic, "ErrorTopic": endpoint.error_topic}
    output = {
        "S3OutputPath": endpoint.output,
        "S3FailurePath": endpoint.failures,
        "KmsKeyId": key,
        "NotificationConfig": given(topics),
    }
    client = given({"MaxConcurrentInvocationsPerInstance": endpoint.concurrent})
    return given({"OutputConfig": given(output), "ClientConfig": client})


def _volume_key(experiment: Experiment, endpoint: Hosted | Transform) -> str | None:
    """The experiment's key, unless the disk is local: local disks encrypt themselves."""
    assert not isinstance(endpoint, Serverless)
    return None if has_local_disk(endpoint.instance_type) else experiment.kms_key
