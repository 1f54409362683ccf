"""Requests while an endpoint changes: none is lost, and a change that fails leaves it as it was."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.emulator.client import BUCKET, Emulator, alive
from tests.emulator.hosting import (
    create_model,
    deploy,
    invoke,
    predict,
    wait_in_service,
)

pytestmark = pytest.mark.slow
GROUP = "/aws/sagemaker/Endpoints"


def wait_for_requests(emulator: Emulator, name: str, count: int) -> None:
    """Wait until containers have said that they answer requests."""

    def waiting() -> int:
        logs = emulator.client("logs")
        events = logs.filter_log_events(logGroupName=f"{GROUP}/{name}")["events"]
        return sum(event["message"] == "waiting" for event in events)

    emulator.wait_until(lambda: waiting() >= count)


def variants(emulator: Emulator, name: str) -> dict[str, tuple[float, int]]:
    """Return weight and number of instances of each variant."""
    endpoint = emulator.sagemaker.describe_endpoint(EndpointName=name)
    return {
        one["VariantName"]: (one["CurrentWeight"], one["CurrentInstanceCount"])
        for one in endpoint["ProductionVariants"]
    }


def rescale(emulator: Emulator, name: str, *changes: dict[str, Any]) -> Any:
    """Change weights and numbers of instances; return the endpoint once it is in service."""
    emulator.sagemaker.update_endpoint_weights_and_capacities(
        EndpointName=name, DesiredWeightsAndCapacities=list(changes)
    )
    wait_in_service(emulator, name)
    return emulator.sagemaker.describe_endpoint(EndpointName=name)


def test_requests_in_flight_are_answered_by_instances_that_end(emulator: Emulator) -> None:
    deploy(emulator, "shrinks", count=2)
    with ThreadPoolExecutor(2) as pool:
        answers = [pool.submit(invoke, emulator, "shrinks", b"wait 3") for _ in range(2)]
        wait_for_requests(emulator, "shrinks", 2)
        rescale(emulator, "shrinks", {"VariantName": "AllTraffic", "DesiredInstanceCount": 1})
        assert len({answer.result()["Body"] for answer in answers}) == 2
    assert len({predict(emulator, "shrinks")["pid"] for _ in range(3)}) == 1


def test_an_update_loses_no_request(emulator: Emulator) -> None:
    deploy(emulator, "replaced")
    before = predict(emulator, "replaced")["pid"]

    def ask_on() -> None:
        while alive(before):
            invoke(emulator, "replaced", b"wait 3")

    with ThreadPoolExecutor(4) as pool:
        clients = [pool.submit(ask_on) for _ in range(4)]
        wait_for_requests(emulator, "replaced", 4)
        emulator.sagemaker.update_endpoint(EndpointName="replaced", EndpointConfigName="replaced")
        for client in clients:
            client.result()
    assert predict(emulator, "replaced")["pid"] != before


def test_asynchronous_requests_outlive_the_instances(emulator: Emulator) -> None:
    """They wait in the endpoint's queue, and their bodies in S3."""
    output = {"S3OutputPath": f"s3://{BUCKET}/outlived", "S3FailurePath": f"s3://{BUCKET}/lost"}
    one = {"MaxConcurrentInvocationsPerInstance": 1}
    asynchronous = {"OutputConfig": output, "ClientConfig": one}
    deploy(emulator, "outlived", AsyncInferenceConfig=asynchronous)
    emulator.s3.put_object(Bucket=BUCKET, Key="in", Body=b"wait 1.5")
    for number in range(5):
        emulator.client("sagemaker-runtime").invoke_endpoint_async(
            EndpointName="outlived", InputLocation=f"s3://{BUCKET}/in", Filename=f"{number}.json"
        )
    wait_for_requests(emulator, "outlived", 1)
    emulator.s3.put_object(Bucket=BUCKET, Key="in", Body=b"later")
    emulator.sagemaker.update_endpoint(EndpointName="outlived", EndpointConfigName="outlived")
    emulator.wait_until(lambda: len(emulator.keys("outlived/") + emulator.keys("lost/")) == 5)
    assert emulator.keys("lost/") == []
    assert b"later" in emulator.body("outlived/4.json")


def test_a_change_that_fails_leaves_all_variants_as_they_were(
    emulator: Emulator, tmp_path: Path
) -> None:
    create_model(emulator, "many-variant")
    create_model(emulator, "one-variant", {"ONLY_ONE": str(tmp_path / "taken")})
    machine = {"InstanceType": "ml.m5.large", "InitialInstanceCount": 1}
    emulator.sagemaker.create_endpoint_config(
        EndpointConfigName="back",
        ProductionVariants=[
            machine | {"VariantName": name, "ModelName": f"{name}-variant"}
            for name in ("many", "one")
        ],
    )
    emulator.sagemaker.create_endpoint(EndpointName="back", EndpointConfigName="back")
    wait_in_service(emulator, "back")
    two = {"DesiredInstanceCount": 2, "DesiredWeight": 0.5}
    changes = [two | {"VariantName": name} for name in ("many", "one")]
    endpoint = rescale(emulator, "back", *changes)
    assert "production variant one did not pass the ping health check" in endpoint["FailureReason"]
    assert variants(emulator, "back") == {"many": (1.0, 1), "one": (1.0, 1)}
    endpoint = rescale(emulator, "back", changes[0])
    assert "FailureReason" not in endpoint
    assert variants(emulator, "back") == {"many": (0.5, 2), "one": (1.0, 1)}
