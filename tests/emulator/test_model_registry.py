"""The model registry: groups, their versions, and packages without versions."""

from typing import Any

from tests.emulator.client import BUCKET, ROLE, Emulator, refused
from tests.emulator.hosting import create_model

IMAGE = {
    "Containers": [
        {
            "Image": "server:1",
            "ModelDataUrl": f"s3://{BUCKET}/model.tar.gz",
            "Environment": {"A": "1", "B": "2"},
        }
    ],
    "SupportedContentTypes": ["image/jpeg"],
    "SupportedResponseMIMETypes": ["application/json"],
}


def version(emulator: Emulator, group: str, /, **more: Any) -> str:
    arn: str = emulator.sagemaker.create_model_package(
        ModelPackageGroupName=group, InferenceSpecification=IMAGE, **more
    )["ModelPackageArn"]
    return arn


def test_a_group_has_what_it_was_given_and_one_name(emulator: Emulator) -> None:
    client = emulator.sagemaker
    tags = [{"Key": "a", "Value": "1"}]
    arn = client.create_model_package_group(
        ModelPackageGroupName="dogs", ModelPackageGroupDescription="of Ada", Tags=tags
    )["ModelPackageGroupArn"]
    assert arn == "arn:aws:sagemaker:us-east-1:123456789012:model-package-group/dogs"
    for name in ("dogs", arn):
        group = client.describe_model_package_group(ModelPackageGroupName=name)
        assert group["ModelPackageGroupDescription"] == "of Ada"
    assert client.list_tags(ResourceArn=arn)["Tags"] == tags
    assert refused(client.create_model_package_group, ModelPackageGroupName="dogs") == (
        "ValidationException",
        f"Model Package Group already exists: {arn}",
    )
    code, message = refused(client.create_model_package_group, ModelPackageGroupName="d_gs")
    assert (code, "at 'modelPackageGroupName'" in message) == ("ValidationException", True)
    code, message = refused(client.add_tags, ResourceArn=arn, Tags=[{"Key": "aws:x", "Value": ""}])
    assert (code, "reserves" in message) == ("ValidationException", True)
    groups = client.list_model_package_groups(NameContains="dogs")["ModelPackageGroupSummaryList"]
    assert [group["ModelPackageGroupName"] for group in groups] == ["dogs"]
    other = client.list_model_package_groups(CrossAccountFilterOption="CrossAccount")
    assert other["ModelPackageGroupSummaryList"] == []


def test_versions_count_up_are_approved_and_deleted(emulator: Emulator) -> None:
    client = emulator.sagemaker
    client.create_model_package_group(ModelPackageGroupName="cats")
    first = version(emulator, "cats", CustomerMetadataProperties={"a": "1", "b": "2"})
    second = version(emulator, "cats", ModelApprovalStatus="Approved", ClientToken="t")
    assert version(emulator, "cats", ClientToken="t") == second
    assert [arn.partition("model-package/")[2] for arn in (first, second)] == ["cats/1", "cats/2"]
    client.update_model_package(
        ModelPackageArn=first,
        ModelApprovalStatus="Rejected",
        ApprovalDescription="blurred",
        CustomerMetadataProperties={"a": "3"},
        CustomerMetadataPropertiesToRemove=["b"],
    )
    package = client.describe_model_package(ModelPackageName=first)
    assert (package["ModelApprovalStatus"], package["ApprovalDescription"]) == (
        "Rejected",
        "blurred",
    )
    assert package["CustomerMetadataProperties"] == {"a": "3"}
    assert package["InferenceSpecification"] == IMAGE
    assert "LastModifiedTime" in package
    assert "LastModifiedTime" not in client.describe_model_package(ModelPackageName=second)
    client.update_model_package(ModelPackageArn=first, CustomerMetadataPropertiesToRemove=["a"])
    client.update_model_package(ModelPackageArn=first, CustomerMetadataProperties={"c": "4"})

    def listed(**more: Any) -> list[int]:
        found = client.list_model_packages(ModelPackageGroupName="cats", **more)
        return [one["ModelPackageVersion"] for one in found["ModelPackageSummaryList"]]

    assert listed() == [1, 2]
    assert listed(SortOrder="Descending") == [2, 1]
    assert listed(ModelApprovalStatus="Approved") == [2]
    code, message = refused(client.delete_model_package_group, ModelPackageGroupName="cats")
    assert (code, "still has Model Packages" in message) == ("ConflictException", True)
    client.delete_model_package(ModelPackageName=second)
    assert refused(client.describe_model_package, ModelPackageName=second) == (
        "ValidationException",
        f"ModelPackage {second} does not exist.",
    )
    assert version(emulator, "cats").endswith("/cats/3")  # a number is not used again
    for number in (1, 3):
        client.delete_model_package(ModelPackageName=first[:-1] + str(number))
    client.delete_model_package_group(ModelPackageGroupName="cats")
    code, message = refused(version, emulator, "cats")
    assert (code, message.endswith("/cats does not exist.")) == ("ValidationException", True)


def test_a_package_without_versions(emulator: Emulator) -> None:
    client = emulator.sagemaker
    arn = client.create_model_package(ModelPackageName="single", InferenceSpecification=IMAGE)[
        "ModelPackageArn"
    ]
    assert client.describe_model_package(ModelPackageName="single")["ModelPackageArn"] == arn
    listed = client.list_model_packages(NameContains="sing")["ModelPackageSummaryList"]
    assert [one["ModelPackageName"] for one in listed] == ["single"]
    client.add_tags(ResourceArn=arn, Tags=[{"Key": "a", "Value": "1"}])
    assert client.list_tags(ResourceArn=arn)["Tags"] == [{"Key": "a", "Value": "1"}]
    code, _ = refused(
        client.create_model_package, ModelPackageName="single", InferenceSpecification=IMAGE
    )
    assert code == "ConflictException"
    for given in ({}, {"ModelPackageName": "x", "ModelPackageGroupName": "y"}):
        code, message = refused(client.create_model_package, **given)
        assert message == "Give either ModelPackageName or ModelPackageGroupName"
    code, message = refused(
        client.update_model_package, ModelPackageArn=arn, ModelApprovalStatus="Approved"
    )
    assert message.startswith("ModelApprovalStatus is for versions")


def test_policies_of_groups_are_refused_by_name(emulator: Emulator) -> None:
    put = emulator.sagemaker.put_model_package_group_policy
    code, message = refused(put, ModelPackageGroupName="dogs", ResourcePolicy="{}")
    assert (code, message) == (
        "UnknownOperationException",
        "PutModelPackageGroupPolicy is not emulated",
    )


def test_a_model_is_made_from_an_approved_version(emulator: Emulator) -> None:
    create_model(emulator, "registered-data")  # its archive is the version's, too
    client = emulator.sagemaker
    client.create_model_package_group(ModelPackageGroupName="served")
    arn = version(emulator, "served")

    def create() -> None:
        container = {"ModelPackageName": arn, "Environment": {"B": "3", "C": "4"}}
        client.create_model(
            ModelName="registered", ExecutionRoleArn=ROLE, PrimaryContainer=container
        )

    code, message = refused(create)
    assert code == "ValidationException"
    assert "is PendingManualApproval: approve it with UpdateModelPackage first" in message
    client.update_model_package(ModelPackageArn=arn, ModelApprovalStatus="Approved")
    create()
    container = client.describe_model(ModelName="registered")["PrimaryContainer"]
    assert container["ModelPackageName"] == arn
    assert container["Image"] == "server:1"
    assert container["ModelDataUrl"] == f"s3://{BUCKET}/model.tar.gz"
    assert container["Environment"] == {"A": "1", "B": "3", "C": "4"}
