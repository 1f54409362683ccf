import io
import json
import os
import tarfile
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError  # type: ignore[import-untyped, unused-ignore]

from tests.emulator.conftest import BUCKET, IMAGES, ROLE, Running, alive, fill
from tests.emulator.test_training import refused


def tarred(**files: str) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, text in files.items():
            entry = tarfile.TarInfo(f"{name}.txt")
            entry.size = len(text)
            tar.addfile(entry, io.BytesIO(text.encode()))
    return buffer.getvalue()


def model(emulator: Running, name: str, /, env: dict[str, str] | None = None, **more: Any) -> None:
    emulator.s3.put_object(Bucket=BUCKET, Key="model.tar.gz", Body=tarred(name="tarred"))
    container = {
        "Image": "server:1",
        "ModelDataUrl": f"s3://{BUCKET}/model.tar.gz",
        "Environment": env or {},
    }
    emulator.sagemaker.create_model(
        ModelName=name, ExecutionRoleArn=ROLE, PrimaryContainer=container | more
    )


def config(emulator: Running, name: str, model: str, count: int = 1, **more: Any) -> None:
    variant = {
        "VariantName": "AllTraffic",
        "ModelName": model,
        "InstanceType": "ml.m5.large",
        "InitialInstanceCount": count,
    }
    emulator.sagemaker.create_endpoint_config(
        EndpointConfigName=name, ProductionVariants=[variant], **more
    )


def deploy(emulator: Running, name: str, count: int = 1, **more: Any) -> None:
    """Create model, configuration and endpoint of one name, and wait with boto3's waiter."""
    model(emulator, name)
    config(emulator, name, name, count, **more)
    emulator.sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)
    in_service(emulator, name)


def in_service(emulator: Running, name: str) -> None:
    emulator.sagemaker.get_waiter("endpoint_in_service").wait(
        EndpointName=name, WaiterConfig={"Delay": 0.1, "MaxAttempts": 1800}
    )


def invoke(emulator: Running, name: str, body: bytes = b"photo", **more: Any) -> Any:
    client = emulator.client("sagemaker-runtime")
    answer = client.invoke_endpoint(EndpointName=name, Body=body, **more)
    with answer["Body"] as stream:
        answer["Body"] = stream.read()
    return answer


def ask(emulator: Running, name: str, body: bytes = b"photo", **more: Any) -> dict[str, Any]:
    said: dict[str, Any] = json.loads(invoke(emulator, name, body, **more)["Body"])
    return said


def test_an_endpoint_answers_and_is_deleted(emulator: Running) -> None:
    deploy(emulator, "one")
    answer = invoke(
        emulator, "one", ContentType="image/jpeg", Accept="text/csv", CustomAttributes="k=v"
    )
    said = json.loads(answer["Body"])
    assert answer["InvokedProductionVariant"] == "AllTraffic"
    assert answer["ContentType"] == "application/json"
    assert answer["CustomAttributes"] == "from-the-model"
    assert said["body"] == "photo"
    assert (said["type"], said["accept"]) == ("image/jpeg", "text/csv")
    assert said["attributes"] == "k=v"
    assert said["model"] == {"name.txt": "tarred"}
    endpoint = emulator.sagemaker.describe_endpoint(EndpointName="one")
    assert endpoint["ProductionVariants"][0]["CurrentInstanceCount"] == 1
    emulator.sagemaker.delete_endpoint(EndpointName="one")
    emulator.sagemaker.get_waiter("endpoint_deleted").wait(
        EndpointName="one", WaiterConfig={"Delay": 0.1, "MaxAttempts": 1800}
    )
    assert not alive(said["pid"])
    code, message = refused(invoke, emulator, "one")
    assert (code, message) == (
        "ValidationError",
        "Endpoint one of account 123456789012 not found.",
    )
    emulator.sagemaker.delete_endpoint_config(EndpointConfigName="one")
    emulator.sagemaker.delete_model(ModelName="one")
    assert refused(emulator.sagemaker.describe_model, ModelName="one") == (
        "ValidationException",
        'Could not find model "arn:aws:sagemaker:us-east-1:123456789012:model/one".',
    )


def test_the_models_errors_and_the_platforms_limits(emulator: Running) -> None:
    deploy(emulator, "limits")
    for status, whose in ((400, "client"), (503, "server")):
        with pytest.raises(emulator.client("sagemaker-runtime").exceptions.ModelError) as caught:
            invoke(emulator, "limits", f"status {status}".encode())
        answer = caught.value.response
        assert answer["OriginalStatusCode"] == status
        assert answer["OriginalMessage"] == "as you wish"
        assert f"Received {whose} error ({status}) from primary" in answer["Error"]["Message"]
    code, message = refused(invoke, emulator, "limits", b"sleep")
    assert code == "ModelError"
    assert "Your invocation timed out" in message
    assert refused(invoke, emulator, "limits", b"x" * 10_001)[0] == "413"
    assert ask(emulator, "limits", b"x" * 10_000)["body"] == "x" * 10_000


def test_instances_take_turns_and_are_replaced(emulator: Running) -> None:
    deploy(emulator, "turns", count=2)
    pids = [ask(emulator, "turns")["pid"] for _ in range(4)]
    assert pids[:2] == pids[2:]
    assert len(set(pids)) == 2
    os.kill(pids[0], 9)
    emulator.until(lambda: _answering(emulator, "turns", but=pids[0]) == 2)
    assert emulator.sagemaker.describe_endpoint(EndpointName="turns")["EndpointStatus"] == (
        "InService"
    )


def _answering(emulator: Running, name: str, but: int) -> int:
    """Return how many instances answer four requests; 0 while one of them fails."""
    try:
        pids = {ask(emulator, name)["pid"] for _ in range(4)}
    except ClientError:
        return 0
    return len(pids - {but})


def test_an_endpoint_that_is_never_healthy_fails(tmp_path: Path) -> None:
    hasty = Running(tmp_path / "state", IMAGES, limits={"startup_s": 4}).start()
    try:
        fill(hasty)
        fails(hasty, "never healthy")
    finally:
        hasty.end()


def test_an_endpoint_whose_container_ends_fails(emulator: Running) -> None:
    assert "exit code 4" in fails(emulator, "exits")


def fails(emulator: Running, mode: str) -> str:
    """Deploy a server in a mode that no ping succeeds in; return why that failed."""
    name = mode.replace(" ", "-")
    model(emulator, name, env={"MODE": mode})
    config(emulator, name, name)
    client = emulator.sagemaker
    client.create_endpoint(EndpointName=name, EndpointConfigName=name)
    emulator.until(
        lambda: client.describe_endpoint(EndpointName=name)["EndpointStatus"] != "Creating"
    )
    endpoint = client.describe_endpoint(EndpointName=name)
    assert endpoint["EndpointStatus"] == "Failed"
    reason: str = endpoint["FailureReason"]
    assert "did not pass the ping health check" in reason
    client.delete_endpoint(EndpointName=name)
    return reason


def test_an_update_serves_throughout_and_a_bad_one_changes_nothing(emulator: Running) -> None:
    deploy(emulator, "updated")
    before = ask(emulator, "updated")
    model(emulator, "broken", env={"MODE": "exits"})
    config(emulator, "broken", "broken")
    emulator.sagemaker.update_endpoint(EndpointName="updated", EndpointConfigName="broken")
    in_service(emulator, "updated")
    endpoint = emulator.sagemaker.describe_endpoint(EndpointName="updated")
    assert endpoint["EndpointConfigName"] == "updated"
    assert "ping health check" in endpoint["FailureReason"]
    assert ask(emulator, "updated")["pid"] == before["pid"]
    emulator.s3.put_object(Bucket=BUCKET, Key="files/a/name.txt", Body=b"prefix")
    source = {
        "S3Uri": f"s3://{BUCKET}/files/a/",
        "S3DataType": "S3Prefix",
        "CompressionType": "None",
    }
    container = {"Image": "server:1", "ModelDataSource": {"S3DataSource": source}}
    emulator.sagemaker.create_model(
        ModelName="prefix", ExecutionRoleArn=ROLE, PrimaryContainer=container
    )
    config(emulator, "prefix", "prefix")
    emulator.sagemaker.update_endpoint(EndpointName="updated", EndpointConfigName="prefix")
    in_service(emulator, "updated")
    after = ask(emulator, "updated")
    assert after["model"] == {"name.txt": "prefix"}
    emulator.until(lambda: not alive(before["pid"]))


def test_an_asynchronous_endpoint_answers_to_s3(emulator: Running) -> None:
    output = {
        "S3OutputPath": f"s3://{BUCKET}/async/out",
        "S3FailurePath": f"s3://{BUCKET}/async/failed",
    }
    deploy(emulator, "async", AsyncInferenceConfig={"OutputConfig": output})
    client = emulator.client("sagemaker-runtime")

    def later(body: bytes) -> Any:
        emulator.s3.put_object(Bucket=BUCKET, Key="async/in", Body=body)
        return client.invoke_endpoint_async(
            EndpointName="async", InputLocation=f"s3://{BUCKET}/async/in", ContentType="image/png"
        )

    key = later(b"photo")["OutputLocation"].removeprefix(f"s3://{BUCKET}/")
    emulator.until(lambda: key in emulator.keys("async/out"))
    said = json.loads(emulator.body(key))
    assert (said["body"], said["type"]) == ("photo", "image/png")
    key = later(b"status 400")["FailureLocation"].removeprefix(f"s3://{BUCKET}/")
    emulator.until(lambda: key in emulator.keys("async/failed"))
    assert b"Received client error (400)" in emulator.body(key)
    assert refused(invoke, emulator, "async")[0] == "ValidationError"


def test_a_multi_model_endpoint_loads_and_unloads(emulator: Running) -> None:
    for name in "abc":
        emulator.s3.put_object(
            Bucket=BUCKET, Key=f"many/{name}.tar.gz", Body=tarred(name=f"model {name}")
        )
    model(emulator, "many", ModelDataUrl=f"s3://{BUCKET}/many/", Mode="MultiModel")
    config(emulator, "many", "many")
    emulator.sagemaker.create_endpoint(EndpointName="many", EndpointConfigName="many")
    in_service(emulator, "many")
    for name in "abca":  # the third does not fit: the first is unloaded, and loaded again
        answer = invoke(emulator, "many", TargetModel=f"{name}.tar.gz")
        assert answer["Body"] == f"model {name}".encode()
    code, message = refused(invoke, emulator, "many", TargetModel="d.tar.gz")
    assert code == "ValidationError"
    assert "Failed to download model data" in message
    assert refused(invoke, emulator, "many")[0] == "ValidationError"


def test_tags(emulator: Running) -> None:
    model(emulator, "tagged")
    client = emulator.sagemaker
    arn = client.describe_model(ModelName="tagged")["ModelArn"]
    client.add_tags(ResourceArn=arn, Tags=[{"Key": "a", "Value": "1"}, {"Key": "b", "Value": "2"}])
    client.delete_tags(ResourceArn=arn, TagKeys=["a"])
    assert client.list_tags(ResourceArn=arn)["Tags"] == [{"Key": "b", "Value": "2"}]


def test_what_hosting_refuses(emulator: Running) -> None:
    model(emulator, "known")
    code, message = refused(model, emulator, "known")
    assert code == "ValidationException"
    assert message.startswith("Cannot create already existing model")
    code, message = refused(model, emulator, "lost", ModelDataUrl=f"s3://{BUCKET}/lost.tar.gz")
    assert message == f"Could not find model data at s3://{BUCKET}/lost.tar.gz."
    code, message = refused(config, emulator, "no-model", "no-model")
    assert message.startswith("Could not find model ")
    code, message = refused(
        emulator.sagemaker.create_endpoint, EndpointName="e", EndpointConfigName="none"
    )
    assert message.startswith("Could not find endpoint configuration")
