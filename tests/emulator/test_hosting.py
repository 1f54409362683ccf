import contextlib
import http.client
import json
import os
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError  # type: ignore[import-untyped, unused-ignore]

from tests.emulator.client import (
    BUCKET,
    IMAGES,
    QUICK,
    ROLE,
    Emulator,
    alive,
    refused,
    signed,
    upload_photos,
)
from tests.emulator.hosting import (
    archive,
    create_config,
    create_model,
    deploy,
    invoke,
    predict,
    wait_in_service,
)

pytestmark = pytest.mark.slow


def test_an_endpoint_answers_and_is_deleted(emulator: Emulator) -> None:
    deploy(emulator, "one")
    answer = invoke(
        emulator, "one", ContentType="image/jpeg", Accept="text/csv", CustomAttributes="k=v"
    )
    prediction = json.loads(answer["Body"])
    assert answer["InvokedProductionVariant"] == "AllTraffic"
    assert answer["ContentType"] == "application/json"
    assert answer["CustomAttributes"] == "from-the-model"
    assert prediction["body"] == "photo"
    assert (prediction["type"], prediction["accept"]) == ("image/jpeg", "text/csv")
    assert prediction["attributes"] == "k=v"
    assert prediction["model"] == {"name.txt": "archived"}
    endpoint = emulator.sagemaker.describe_endpoint(EndpointName="one")
    assert endpoint["ProductionVariants"][0]["CurrentInstanceCount"] == 1
    emulator.sagemaker.delete_endpoint(EndpointName="one")
    emulator.sagemaker.get_waiter("endpoint_deleted").wait(EndpointName="one", WaiterConfig=QUICK)
    assert not alive(prediction["pid"])
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


def test_model_errors_and_platform_limits(emulator: Emulator) -> None:
    deploy(emulator, "limits")
    for status, source in ((400, "client"), (503, "server")):
        with pytest.raises(emulator.client("sagemaker-runtime").exceptions.ModelError) as caught:
            invoke(emulator, "limits", f"status {status}".encode())
        answer = caught.value.response
        assert answer["OriginalStatusCode"] == status
        assert answer["OriginalMessage"] == "as requested"
        assert f"Received {source} error ({status}) from primary" in answer["Error"]["Message"]
    code, message = refused(invoke, emulator, "limits", b"sleep")
    assert code == "ModelError"
    assert "Your invocation timed out" in message
    assert refused(invoke, emulator, "limits", b"x" * 10_001)[0] == "413"
    assert predict(emulator, "limits", b"x" * 10_000)["body"] == "x" * 10_000
    assert _chunked(emulator, "/endpoints/limits/invocations", 10_000) == 200
    assert _chunked(emulator, "/endpoints/limits/invocations", 10_001) == 413


def _chunked(emulator: Emulator, path: str, size: int) -> int:
    """Send a body whose size no header says; return the answer's status."""
    connection = http.client.HTTPConnection(emulator.url.removeprefix("http://"), timeout=60)
    with contextlib.closing(connection):
        connection.request("POST", path, iter((b"x" * size,)), signed("sagemaker"))
        return connection.getresponse().status


def test_instances_take_turns_and_dead_ones_are_replaced(emulator: Emulator) -> None:
    deploy(emulator, "turns", count=2)
    pids = [predict(emulator, "turns")["pid"] for _ in range(4)]
    assert pids[:2] == pids[2:]
    assert len(set(pids)) == 2
    os.kill(pids[0], 9)
    emulator.wait_until(lambda: _answering(emulator, "turns", but=pids[0]) == 2)
    assert emulator.sagemaker.describe_endpoint(EndpointName="turns")["EndpointStatus"] == (
        "InService"
    )


def _answering(emulator: Emulator, name: str, but: int) -> int:
    """Return how many instances answer four requests; 0 while one of them fails."""
    try:
        pids = {predict(emulator, name)["pid"] for _ in range(4)}
    except ClientError:
        return 0
    return len(pids - {but})


def test_an_endpoint_that_is_never_healthy_fails(tmp_path: Path) -> None:
    hasty = Emulator(tmp_path / "state", IMAGES, limits={"startup_s": 4}).start()
    try:
        upload_photos(hasty)
        fails(hasty, "never healthy")
    finally:
        hasty.end()


def test_an_endpoint_whose_container_ends_fails(emulator: Emulator) -> None:
    assert "exit code 4" in fails(emulator, "exits")


def fails(emulator: Emulator, mode: str) -> str:
    """Deploy a server in a mode that no ping succeeds in; return why that failed."""
    name = mode.replace(" ", "-")
    create_model(emulator, name, env={"MODE": mode})
    create_config(emulator, name, name)
    client = emulator.sagemaker
    client.create_endpoint(EndpointName=name, EndpointConfigName=name)
    emulator.wait_until(
        lambda: client.describe_endpoint(EndpointName=name)["EndpointStatus"] != "Creating"
    )
    endpoint = client.describe_endpoint(EndpointName=name)
    assert endpoint["EndpointStatus"] == "Failed"
    reason: str = endpoint["FailureReason"]
    assert "did not pass the ping health check" in reason
    for change in (
        lambda: client.update_endpoint(EndpointName=name, EndpointConfigName=name),
        lambda: client.update_endpoint_weights_and_capacities(
            EndpointName=name, DesiredWeightsAndCapacities=[{"VariantName": "AllTraffic"}]
        ),
    ):
        assert "its status is Failed. Only DeleteEndpoint is possible" in refused(change)[1]
    client.delete_endpoint(EndpointName=name)
    return reason


def test_an_update_replaces_the_instances_and_a_failed_one_does_not(emulator: Emulator) -> None:
    deploy(emulator, "updated")
    before = predict(emulator, "updated")
    create_model(emulator, "broken", env={"MODE": "exits"})
    create_config(emulator, "broken", "broken")
    emulator.sagemaker.update_endpoint(EndpointName="updated", EndpointConfigName="broken")
    wait_in_service(emulator, "updated")
    endpoint = emulator.sagemaker.describe_endpoint(EndpointName="updated")
    assert endpoint["EndpointConfigName"] == "updated"
    assert "ping health check" in endpoint["FailureReason"]
    assert predict(emulator, "updated")["pid"] == before["pid"]
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
    create_config(emulator, "prefix", "prefix")
    emulator.sagemaker.update_endpoint(EndpointName="updated", EndpointConfigName="prefix")
    wait_in_service(emulator, "updated")
    after = predict(emulator, "updated")
    assert after["model"] == {"name.txt": "prefix"}
    emulator.wait_until(lambda: not alive(before["pid"]))


def test_keys_of_a_models_prefix_do_not_lead_out_of_its_folder(
    emulator: Emulator, tmp_path: Path
) -> None:
    """A model as files below an S3 prefix: hostile keys fail the endpoint and write nothing."""
    for number, key in enumerate(
        ("../../out.txt", "a/../../out.txt", "/out.txt", "a//../../out.txt")
    ):
        name = f"hostile-{number}"
        emulator.s3.put_object(Bucket=BUCKET, Key=f"hostile/{number}/{key}", Body=b"x")
        source = {
            "S3Uri": f"s3://{BUCKET}/hostile/{number}/",
            "S3DataType": "S3Prefix",
            "CompressionType": "None",
        }
        container = {"Image": "server:1", "ModelDataSource": {"S3DataSource": source}}
        emulator.sagemaker.create_model(
            ModelName=name, ExecutionRoleArn=ROLE, PrimaryContainer=container
        )
        create_config(emulator, name, name)
        emulator.sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)
        emulator.wait_until(
            lambda name=name: (  # type: ignore[misc]
                emulator.sagemaker.describe_endpoint(EndpointName=name)["EndpointStatus"]
                != "Creating"
            )
        )
        endpoint = emulator.sagemaker.describe_endpoint(EndpointName=name)
        assert endpoint["EndpointStatus"] == "Failed", key
        assert "out.txt" in endpoint["FailureReason"]
        emulator.sagemaker.delete_endpoint(EndpointName=name)
    assert not [path for path in emulator.state.parent.rglob("out.txt") if path.is_file()]


def test_an_endpoint_that_is_being_created_cannot_be_deleted(tmp_path: Path) -> None:
    """As in SageMaker: only when it is in service, or has failed."""
    own = Emulator(tmp_path / "state", IMAGES).start()  # when it ends, nothing waits for a ping
    try:
        upload_photos(own)
        create_model(own, "young", env={"MODE": "never healthy"})
        create_config(own, "young", "young")
        client = own.sagemaker
        arn = client.create_endpoint(EndpointName="young", EndpointConfigName="young")
        assert refused(client.delete_endpoint, EndpointName="young") == (
            "ValidationException",
            f'Cannot update in-progress endpoint "{arn["EndpointArn"]}".',
        )
        assert client.describe_endpoint(EndpointName="young")["EndpointStatus"] == "Creating"
    finally:
        own.end()


def test_an_asynchronous_endpoint_answers_to_s3(emulator: Emulator) -> None:
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
    emulator.wait_until(lambda: key in emulator.keys("async/out"))
    prediction = json.loads(emulator.body(key))
    assert (prediction["body"], prediction["type"]) == ("photo", "image/png")
    key = later(b"status 400")["FailureLocation"].removeprefix(f"s3://{BUCKET}/")
    emulator.wait_until(lambda: key in emulator.keys("async/failed"))
    assert b"Received client error (400)" in emulator.body(key)
    assert refused(invoke, emulator, "async")[0] == "ValidationError"


def test_a_multi_model_endpoint_loads_and_unloads(emulator: Emulator) -> None:
    for name in "abc":
        emulator.s3.put_object(
            Bucket=BUCKET, Key=f"many/{name}.tar.gz", Body=archive(name=f"model {name}")
        )
    create_model(emulator, "many", ModelDataUrl=f"s3://{BUCKET}/many/", Mode="MultiModel")
    create_config(emulator, "many", "many")
    emulator.sagemaker.create_endpoint(EndpointName="many", EndpointConfigName="many")
    wait_in_service(emulator, "many")
    for name in "abca":  # the third does not fit: the first is unloaded, and loaded again
        answer = invoke(emulator, "many", TargetModel=f"{name}.tar.gz")
        assert answer["Body"] == f"model {name}".encode()
    code, message = refused(invoke, emulator, "many", TargetModel="d.tar.gz")
    assert code == "ValidationError"
    assert "Failed to download model data" in message
    emulator.s3.put_object(Bucket=BUCKET, Key="many/broken.tar.gz", Body=b"no archive")
    code, message = refused(invoke, emulator, "many", TargetModel="broken.tar.gz")
    assert (code, "Failed to extract model data" in message) == ("ValidationError", True)
    assert refused(invoke, emulator, "many")[0] == "ValidationError"


def test_a_model_that_did_not_load_is_downloaded_again(emulator: Emulator) -> None:
    def upload(**files: str) -> None:
        emulator.s3.put_object(Bucket=BUCKET, Key="mended/a.tar.gz", Body=archive(**files))

    upload(other="the server wants name.txt")
    create_model(emulator, "mended", ModelDataUrl=f"s3://{BUCKET}/mended/", Mode="MultiModel")
    create_config(emulator, "mended", "mended")
    emulator.sagemaker.create_endpoint(EndpointName="mended", EndpointConfigName="mended")
    wait_in_service(emulator, "mended")
    assert refused(invoke, emulator, "mended", TargetModel="a.tar.gz")[0] == "ModelError"
    upload(name="mended")
    assert invoke(emulator, "mended", TargetModel="a.tar.gz")["Body"] == b"mended"
