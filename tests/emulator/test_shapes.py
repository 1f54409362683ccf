"""Every operation answers in the shape of botocore's model, with AWS's defaults filled in."""

import pytest

from emulator.api.field_table import FIELDS
from tests.emulator import shapes
from tests.emulator.client import BUCKET, MACHINE, QUICK, ROLE, Emulator
from tests.emulator.hosting import create_config, create_model, wait_in_service
from tests.emulator.tuning import ranges, trials, tuning_ended, tuning_request

pytestmark = pytest.mark.slow
_RUNTIME = {"InvokeEndpoint", "InvokeEndpointAsync"}


def test_every_operation_answers_in_its_shape(emulator: Emulator) -> None:
    client = emulator.sagemaker
    emulator.train("shaped", HyperParameters={"epochs": "1"})
    _train_and_tune(emulator)
    _host(emulator)
    _register(emulator)
    for name in ("training_jobs", "models", "endpoints", "endpoint_configs", "images"):
        getattr(client, f"list_{name}")()
    client.list_hyper_parameter_tuning_jobs()
    client.list_transform_jobs()
    assert set(FIELDS) - _RUNTIME <= set(shapes.checked)


def _train_and_tune(emulator: Emulator) -> None:
    client = emulator.sagemaker
    job = emulator.ended("shaped")
    assert job["OutputDataConfig"] == {
        "KmsKeyId": "",
        "S3OutputPath": f"s3://{BUCKET}/out",
        "CompressionType": "GZIP",
    }
    channel = job["InputDataConfig"][0]
    assert (channel["CompressionType"], channel["RecordWrapperType"]) == ("None", "None")
    source = channel["DataSource"]["S3DataSource"]
    assert source["S3DataDistributionType"] == "FullyReplicated"
    for member in ("EnableNetworkIsolation", "EnableManagedSpotTraining"):
        assert job[member] is False
    assert job["ResourceConfig"] == MACHINE
    emulator.train("shaped-stop", HyperParameters={"sleep": "600"})
    client.stop_training_job(TrainingJobName="shaped-stop")
    emulator.ended("shaped-stop")
    client.delete_training_job(TrainingJobName="shaped-stop")
    client.create_hyper_parameter_tuning_job(**tuning_request("shaped", "Grid", ranges(x=["1"])))
    tuned = tuning_ended(emulator, "shaped")
    assert tuned["HyperParameterTuningJobConfig"]["TrainingJobEarlyStoppingType"] == "Off"
    assert tuned["TuningJobCompletionDetails"] == {"NumberOfTrainingJobsObjectiveNotImproving": 0}
    assert len(trials(emulator, "shaped")) == 1
    request = tuning_request("shaped-stop", "Grid", ranges(x=["1"]))
    client.create_hyper_parameter_tuning_job(**request)
    client.stop_hyper_parameter_tuning_job(HyperParameterTuningJobName="shaped-stop")
    tuning_ended(emulator, "shaped-stop")
    client.delete_hyper_parameter_tuning_job(HyperParameterTuningJobName="shaped-stop")


def _host(emulator: Emulator) -> None:
    client, name = emulator.sagemaker, "shaped"
    create_model(emulator, name)
    create_config(emulator, name, name)
    assert client.describe_model(ModelName=name)["EnableNetworkIsolation"] is False
    variant = client.describe_endpoint_config(EndpointConfigName=name)["ProductionVariants"][0]
    assert variant["InitialVariantWeight"] == 1.0
    client.create_endpoint(EndpointName=name, EndpointConfigName=name)
    data = {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": f"s3://{BUCKET}/photos/"}}
    client.create_transform_job(
        TransformJobName=name,
        ModelName=name,
        TransformInput={"DataSource": data},
        TransformOutput={"S3OutputPath": f"s3://{BUCKET}/shaped"},
        TransformResources={"InstanceType": "ml.m5.large", "InstanceCount": 1},
    )
    client.stop_transform_job(TransformJobName=name)
    job = client.describe_transform_job(TransformJobName=name)
    assert job["DataProcessing"] == {
        "InputFilter": "$",
        "OutputFilter": "$",
        "JoinSource": "None",
    }
    wait_in_service(emulator, name)
    client.update_endpoint_weights_and_capacities(
        EndpointName=name,
        DesiredWeightsAndCapacities=[{"VariantName": "AllTraffic", "DesiredWeight": 2}],
    )
    wait_in_service(emulator, name)
    client.update_endpoint(EndpointName=name, EndpointConfigName=name)
    wait_in_service(emulator, name)
    client.delete_endpoint(EndpointName=name)
    client.get_waiter("endpoint_deleted").wait(EndpointName=name, WaiterConfig=QUICK)
    client.delete_endpoint_config(EndpointConfigName=name)


def _register(emulator: Emulator) -> None:
    client, name = emulator.sagemaker, "shaped"
    arn = client.create_image(ImageName=name, RoleArn=ROLE)["ImageArn"]
    client.get_waiter("image_created").wait(ImageName=name, WaiterConfig=QUICK)
    client.update_image(ImageName=name, Description="texts")
    client.create_image_version(ImageName=name, BaseImage="server:1", ClientToken="1")
    client.describe_image_version(ImageName=name)
    client.update_image_version(ImageName=name, Version=1, AliasesToAdd=["a"])
    client.list_image_versions(ImageName=name)
    client.list_aliases(ImageName=name)
    client.delete_image_version(ImageName=name, Version=1)
    client.add_tags(ResourceArn=arn, Tags=[{"Key": "a", "Value": "1"}])
    client.list_tags(ResourceArn=arn)
    client.delete_tags(ResourceArn=arn, TagKeys=["a"])
    client.delete_image(ImageName=name)
    _register_model(emulator)
    client.delete_model(ModelName=name)


def _register_model(emulator: Emulator) -> None:
    client, name = emulator.sagemaker, "shaped"
    client.create_model_package_group(ModelPackageGroupName=name)
    group = client.describe_model_package_group(ModelPackageGroupName=name)
    assert (group["ModelPackageGroupStatus"], group["CreatedBy"]) == ("Completed", {})
    arn = client.create_model_package(ModelPackageGroupName=name)["ModelPackageArn"]
    package = client.describe_model_package(ModelPackageName=arn)
    assert package["ModelPackageStatusDetails"] == {"ValidationStatuses": []}
    assert package["ModelApprovalStatus"] == "PendingManualApproval"
    assert package["CertifyForMarketplace"] is False
    client.update_model_package(ModelPackageArn=arn, ModelApprovalStatus="Approved")
    client.list_model_packages(ModelPackageGroupName=name)
    client.list_model_package_groups()
    client.delete_model_package(ModelPackageName=arn)
    client.delete_model_package_group(ModelPackageGroupName=name)
