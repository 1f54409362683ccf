"""Models, endpoints and transform jobs that several tests make."""

import io
import json
import tarfile
from typing import Any

from tests.emulator.client import BUCKET, QUICK, ROLE, Emulator


def archive(**files: str) -> bytes:
    """Return a tar.gz of text files: `<name>.txt` for each argument."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, text in files.items():
            entry = tarfile.TarInfo(f"{name}.txt")
            entry.size = len(text)
            tar.addfile(entry, io.BytesIO(text.encode()))
    return buffer.getvalue()


def create_model(
    emulator: Emulator, name: str, /, env: dict[str, str] | None = None, **more: Any
) -> None:
    emulator.s3.put_object(Bucket=BUCKET, Key="model.tar.gz", Body=archive(name="archived"))
    container = {
        "Image": "server:1",
        "ModelDataUrl": f"s3://{BUCKET}/model.tar.gz",
        "Environment": env or {},
    }
    emulator.sagemaker.create_model(
        ModelName=name, ExecutionRoleArn=ROLE, PrimaryContainer=container | more
    )


def create_config(emulator: Emulator, name: str, model: str, count: int = 1, **more: Any) -> None:
    variant = {
        "VariantName": "AllTraffic",
        "ModelName": model,
        "InstanceType": "ml.m5.large",
        "InitialInstanceCount": count,
    }
    emulator.sagemaker.create_endpoint_config(
        EndpointConfigName=name, ProductionVariants=[variant], **more
    )


def deploy(emulator: Emulator, name: str, count: int = 1, **more: Any) -> None:
    """Create a model, a configuration and an endpoint of one name; wait until it is in service."""
    create_model(emulator, name)
    create_config(emulator, name, name, count, **more)
    emulator.sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)
    wait_in_service(emulator, name)


def wait_in_service(emulator: Emulator, name: str) -> None:
    emulator.sagemaker.get_waiter("endpoint_in_service").wait(EndpointName=name, WaiterConfig=QUICK)


def invoke(emulator: Emulator, name: str, body: bytes = b"photo", **more: Any) -> Any:
    client = emulator.client("sagemaker-runtime")
    answer = client.invoke_endpoint(EndpointName=name, Body=body, **more)
    with answer["Body"] as stream:
        answer["Body"] = stream.read()
    return answer


def predict(emulator: Emulator, name: str, body: bytes = b"photo", **more: Any) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(invoke(emulator, name, body, **more)["Body"])
    return answer


def transform(emulator: Emulator, name: str, prefix: str, **more: Any) -> dict[str, Any]:
    """Run a job over the objects under a prefix; return its description.

    `more` replaces parts of the request. Without a ModelName, a model of the job's name is made.
    """
    data = {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": f"s3://{BUCKET}/{prefix}"}}
    request: dict[str, Any] = {
        "TransformJobName": name,
        "ModelName": name,
        "TransformInput": {"DataSource": data, "ContentType": "image/jpeg", "SplitType": "None"},
        "TransformOutput": {"S3OutputPath": f"s3://{BUCKET}/answers/{name}"},
        "TransformResources": {"InstanceType": "ml.m5.large", "InstanceCount": 2},
    }
    for key, value in more.items():
        request[key] = {**request[key], **value} if isinstance(value, dict) else value
    if "ModelName" not in more:
        create_model(emulator, name)
    emulator.sagemaker.create_transform_job(**request)
    emulator.wait_until(
        lambda: (
            emulator.sagemaker.describe_transform_job(TransformJobName=name)["TransformJobStatus"]
            != "InProgress"
        )
    )
    job: dict[str, Any] = emulator.sagemaker.describe_transform_job(TransformJobName=name)
    return job
