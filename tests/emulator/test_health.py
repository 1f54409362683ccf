"""Instances that have ended get no requests, and those that start are described."""

import datetime as dt
from collections.abc import Iterator

import pytest

from tests.emulator.client import IMAGES, Emulator, refused, with_photos
from tests.emulator.hosting import create_config, create_model, deploy, invoke, predict

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    """An emulator that pings once only, while an endpoint starts."""
    state = tmp_path_factory.mktemp("health") / "state"
    with with_photos(Emulator(state, IMAGES, limits={"ping_every_s": 3600})) as emulator:
        yield emulator


def test_the_others_answer(emulator: Emulator) -> None:
    deploy(emulator, "two", count=2)
    assert refused(invoke, emulator, "two", b"die")[0] == "ModelError"

    def answers() -> bool:
        try:
            return len({predict(emulator, "two")["pid"] for _ in range(4)}) == 1
        except emulator.client("sagemaker-runtime").exceptions.ModelError:
            return False

    emulator.wait_until(answers, 60)


def test_without_another_the_endpoint_is_unavailable(emulator: Emulator) -> None:
    deploy(emulator, "single")
    assert refused(invoke, emulator, "single", b"die")[0] == "ModelError"
    emulator.wait_until(lambda: refused(invoke, emulator, "single")[0] == "ServiceUnavailable", 60)


def test_what_is_being_deployed_is_described(emulator: Emulator) -> None:
    deploy(emulator, "old")
    describe = emulator.sagemaker.describe_endpoint
    assert "PendingDeploymentSummary" not in describe(EndpointName="old")
    create_model(emulator, "new", {"MODE": "never healthy"})
    create_config(emulator, "new", "new", count=2)
    emulator.sagemaker.update_endpoint(EndpointName="old", EndpointConfigName="new")
    emulator.sagemaker.create_endpoint(EndpointName="created", EndpointConfigName="new")
    for name, status, config in [("old", "Updating", "old"), ("created", "Creating", "new")]:
        found = describe(EndpointName=name)
        assert (found["EndpointStatus"], found["EndpointConfigName"]) == (status, config)
        pending = found["PendingDeploymentSummary"]
        assert pending["EndpointConfigName"] == "new"
        assert pending["StartTime"] >= found["CreationTime"] - dt.timedelta(seconds=60)
        (variant,) = pending["ProductionVariants"]
        assert variant["VariantStatus"][0]["Status"] == "Creating"
        assert variant["DeployedImages"][0]["SpecifiedImage"] == "server:1"
        names = ("VariantName", "DesiredInstanceCount", "DesiredWeight", "InstanceType")
        assert [variant[one] for one in names] == ["AllTraffic", 2, 1, "ml.m5.large"]
    assert predict(emulator, "old")["body"] == "photo"
