import json
from typing import Any

from tests.emulator.conftest import ROLE, Running
from tests.emulator.test_training import refused

QUICK = {"Delay": 0.1, "MaxAttempts": 100}


def test_versions_are_found_by_alias_and_resolved_to_a_digest(emulator: Running) -> None:
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
    assert sorted(one["Version"] for one in listed) == [1, 2]
    client.update_image_version(ImageName="train", Version=1, AliasesToAdd=["stable"])
    aliases = client.list_aliases(ImageName="train", Version=1)["SageMakerImageVersionAliases"]
    assert aliases == ["1.0", "stable"]
    client.delete_image_version(ImageName="train", Version=1)
    assert refused(client.describe_image_version, ImageName="train", Alias="stable") == (
        "ResourceNotFound",
        "No ImageVersion of train exists with alias stable.",
    )
    client.delete_image(ImageName="train")
    assert refused(client.describe_image, ImageName="train")[0] == "ResourceNotFound"


def test_model_packages_are_motos(emulator: Running) -> None:
    client = emulator.sagemaker
    client.create_model_package_group(ModelPackageGroupName="dogs")
    groups = client.list_model_package_groups()["ModelPackageGroupSummaryList"]
    assert [one["ModelPackageGroupName"] for one in groups] == ["dogs"]
