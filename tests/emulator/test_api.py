"""Requests that start no container: what is refused, tags, images."""

import json
from pathlib import Path
from typing import Any

import pytest

from emulator.__main__ import main
from tests.emulator.client import BUCKET, MACHINE, QUICK, ROLE, Emulator, refused, signed
from tests.emulator.hosting import create_config, create_model
from tests.emulator.test_doors import send
from tests.emulator.tuning import ranges, tuning_request


def test_invalid_settings_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "config.toml"
    file.write_text("colour = 'blue'\n[limits]\ninvocation_s = 'long'\n")
    assert main(["run", "--state", str(tmp_path), "--config", str(file)]) == 2
    errors = capsys.readouterr().err
    assert "colour" in errors
    assert "limits.invocation_s" in errors


def test_what_training_refuses(emulator: Emulator) -> None:
    client = emulator.sagemaker
    code, message = refused(emulator.train, "-bad-name")
    assert code == "ValidationException"
    assert "1 validation error detected: Value '-bad-name' at 'trainingJobName'" in message
    assert "[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}" in message
    assert refused(emulator.train, "no-wait", EnableManagedSpotTraining=True) == (
        "ValidationException",
        "MaxWaitTimeInSeconds must be present when EnableManagedSpotTraining is true",
    )
    missing = refused(client.describe_training_job, TrainingJobName="missing")
    assert missing == ("ValidationException", "Requested resource not found.")
    code, message = refused(client.create_processing_job, **_processing())
    assert (code, message) == (
        "UnknownOperationException",
        "CreateProcessingJob is not emulated",
    )


def _processing() -> dict[str, Any]:
    cluster = {"InstanceCount": 1, "InstanceType": "ml.m5.large", "VolumeSizeInGB": 1}
    return {
        "ProcessingJobName": "p",
        "ProcessingResources": {"ClusterConfig": cluster},
        "AppSpecification": {"ImageUri": "p"},
        "RoleArn": "arn:aws:iam::123456789012:role/kennel",
    }


def test_what_tuning_refuses(emulator: Emulator) -> None:
    create = emulator.sagemaker.create_hyper_parameter_tuning_job
    continuous = {"ContinuousParameterRanges": [{"Name": "x", "MinValue": "0", "MaxValue": "1"}]}
    code, message = refused(create, **tuning_request("t", "Grid", continuous))
    assert code == "ValidationException"
    assert "categorical parameter ranges only" in message
    many = [str(number) for number in range(31)]
    code, message = refused(create, **tuning_request("t", "Grid", ranges(x=many)))
    assert "Member must have length less than or equal to 30" in message
    few = ranges(x=["1", "2"])
    code, message = refused(create, **tuning_request("t", "Grid", few, MaxNumberOfTrainingJobs=3))
    assert "the number of combinations of the Grid strategy, 2" in message
    code, message = refused(create, **tuning_request("t", "Random", few))
    assert "MaxNumberOfTrainingJobs must be present" in message
    code, message = refused(
        create, **tuning_request("t", "Random", few, MaxNumberOfTrainingJobs=10_001)
    )
    assert code == "ResourceLimitExceeded"
    request = tuning_request("t", "Grid", few)
    request["HyperParameterTuningJobConfig"]["HyperParameterTuningJobObjective"]["MetricName"] = (
        "acc"
    )
    code, message = refused(create, **request)
    assert "'acc' is not among the MetricDefinitions" in message
    for machines in ({}, {"ResourceConfig": MACHINE, "HyperParameterTuningResourceConfig": {}}):
        request = tuning_request("t", "Grid", few)
        del request["TrainingJobDefinition"]["ResourceConfig"]
        request["TrainingJobDefinition"] |= machines
        code, message = refused(create, **request)
        assert message.startswith("Exactly one of ResourceConfig and Hyper")
    request = tuning_request("t", "Grid", few)
    request["TrainingJobDefinition"]["AlgorithmSpecification"]["TrainingInputMode"] = "Pipe"
    code, message = refused(create, **request)
    assert message.startswith("Pipe mode is not emulated")
    code, message = refused(create, **tuning_request("n" * 33, "Grid", few))
    assert "hyperParameterTuningJobName" in message


def test_tags(emulator: Emulator) -> None:
    create_model(emulator, "tagged")
    client = emulator.sagemaker
    arn = client.describe_model(ModelName="tagged")["ModelArn"]
    client.add_tags(ResourceArn=arn, Tags=[{"Key": "a", "Value": "1"}, {"Key": "b", "Value": "2"}])
    client.delete_tags(ResourceArn=arn, TagKeys=["a"])
    assert client.list_tags(ResourceArn=arn)["Tags"] == [{"Key": "b", "Value": "2"}]


def test_what_hosting_refuses(emulator: Emulator) -> None:
    create_model(emulator, "known")
    code, message = refused(create_model, emulator, "known")
    assert code == "ValidationException"
    assert message.startswith("Cannot create already existing model")
    code, message = refused(
        create_model, emulator, "lost", ModelDataUrl=f"s3://{BUCKET}/lost.tar.gz"
    )
    assert message == f"Could not find model data at s3://{BUCKET}/lost.tar.gz."
    code, message = refused(create_config, emulator, "no-model", "no-model")
    assert message.startswith("Could not find model ")
    code, message = refused(
        emulator.sagemaker.create_endpoint, EndpointName="e", EndpointConfigName="none"
    )
    assert message.startswith("Could not find endpoint configuration")


def test_versions_are_found_by_alias_and_resolved_to_a_digest(emulator: Emulator) -> None:
    client, ecr = emulator.sagemaker, emulator.client("ecr")
    repository = ecr.create_repository(repositoryName="kennel-train")["repository"]["repositoryUri"]
    media = "application/vnd.docker.distribution.manifest.v2+json"
    manifest = json.dumps({"schemaVersion": 2, "mediaType": media, "config": {}, "layers": []})
    pushed = ecr.put_image(repositoryName="kennel-train", imageManifest=manifest, imageTag="1.0")[
        "image"
    ]["imageId"]["imageDigest"]
    client.create_image(ImageName="train", RoleArn=ROLE)
    assert client.describe_image(ImageName="train")["ImageStatus"] == "CREATING"
    client.get_waiter("image_created").wait(ImageName="train", WaiterConfig=QUICK)

    def version(number: int, **more: Any) -> None:
        client.create_image_version(
            ImageName="train",
            BaseImage=f"{repository}:1.0",
            ClientToken=f"token-{number}",
            JobType="TRAINING",
            **more,
        )

    version(1, Aliases=["stable", "1.0"])
    version(2, Aliases=["stable"])
    version(2, Aliases=["stable"])  # the same token: the same version
    client.get_waiter("image_version_created").wait(
        ImageName="train", Version=2, WaiterConfig=QUICK
    )
    stable = client.describe_image_version(ImageName="train", Alias="stable")
    assert (stable["Version"], stable["ImageVersionStatus"]) == (2, "CREATED")
    assert stable["ContainerImage"] == f"{repository}@{pushed}"
    assert stable["JobType"] == "TRAINING"
    assert client.describe_image_version(ImageName="train", Alias="1.0")["Version"] == 1
    listed = client.list_image_versions(ImageName="train")["ImageVersions"]
    assert sorted(version["Version"] for version in listed) == [1, 2]
    client.update_image_version(ImageName="train", Version=1, AliasesToAdd=["stable"])
    aliases = client.list_aliases(ImageName="train", Version=1)["SageMakerImageVersionAliases"]
    assert aliases == ["1.0", "stable"]
    client.delete_image_version(ImageName="train", Version=1)
    assert refused(client.describe_image_version, ImageName="train", Alias="stable") == (
        "ResourceNotFound",
        "No ImageVersion with the name train exists with alias stable.",
    )
    client.delete_image(ImageName="train")
    assert refused(client.describe_image, ImageName="train")[0] == "ResourceNotFound"


def test_a_member_that_is_null_is_not_given(emulator: Emulator) -> None:
    """Many clients write each member that they know."""

    def ask(operation: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        headers = signed("sagemaker") | {"X-Amz-Target": f"SageMaker.{operation}"}
        status, _, text = send(emulator, "POST", "/", headers, json.dumps(body))
        return status, json.loads(text)

    create_model(emulator, "null-model")
    variant = {
        "VariantName": "A",
        "ModelName": "null-model",
        "InstanceType": "ml.m5.large",
        "InitialInstanceCount": 1,
        "InitialVariantWeight": None,
        "ServerlessConfig": None,
        "VolumeSizeInGB": None,
    }
    config = {"EndpointConfigName": "nulls", "ProductionVariants": [variant]}
    status, _ = ask("CreateEndpointConfig", config | {"Tags": None, "AsyncInferenceConfig": None})
    assert status == 200
    found = emulator.sagemaker.describe_endpoint_config(EndpointConfigName="nulls")
    assert found["ProductionVariants"][0]["InitialVariantWeight"] == 1
    assert "AsyncInferenceConfig" not in found
    filters = {"NameContains": "null-model", "MaxResults": None, "SortBy": None, "NextToken": None}
    assert len(ask("ListModels", filters)[1]["Models"]) == 1
    assert len(ask("ListModels", filters | {"NameContains": None})[1]["Models"]) >= 1
    code, message = (ask("DescribeModel", {"ModelName": None})[1][key] for key in _ERROR)
    assert (code, "Member must not be null" in message) == ("ValidationException", True)


_ERROR = ("__type", "message")
