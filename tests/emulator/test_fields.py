"""Nothing is accepted and forgotten: each request field has its fate, and the docs say it."""

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import botocore.session  # type: ignore[import-untyped, unused-ignore]
import pytest

from emulator.api import fields
from emulator.api.field_table import FIELDS
from emulator.errors import Invalid
from tests.emulator.client import BUCKET, ROLE, Emulator, refused
from tests.emulator.hosting import create_config, create_model
from tests.emulator.tuning import ranges, tuning_request

DOCS = Path(__file__).parents[2] / "docs" / "emulator.md"


@cache
def model(service: str) -> Any:
    return botocore.session.get_session().get_service_model(service)


def paths(operation: str) -> Iterator[str]:
    """Yield the path of each value that an operation's request can have."""
    service = (
        "sagemaker" if operation in model("sagemaker").operation_names else "sagemaker-runtime"
    )
    shape = model(service).operation_model(operation).input_shape
    yield from _leaves(shape, "") if shape else ()


def _leaves(shape: Any, path: str) -> Iterator[str]:
    if shape.type_name == "structure" and shape.members:
        for name, member in shape.members.items():
            yield from _leaves(member, f"{path}.{name}" if path else name)
    elif shape.type_name == "list":
        yield from _leaves(shape.member, path)
    else:
        yield path


@pytest.mark.parametrize("operation", FIELDS)
def test_each_field_is_honoured_ignored_or_refused(operation: str) -> None:
    known = list(paths(operation))
    unknown = [path for path in known if FIELDS[operation].fate(path) == "unknown"]
    assert not unknown, "decide what becomes of these fields in emulator/api/field_table.py"
    table = FIELDS[operation]
    stale = [path for path in table.honoured.split() if path not in known]
    stale += [
        path
        for path in f"{table.ignored} {table.refused}".split()
        if not any(one == path or one.startswith(f"{path}.") for one in known)
    ]
    assert not stale, "botocore's model has no such fields"


def test_the_docs_list_what_is_accepted_without_effect() -> None:
    section = DOCS.read_text().partition("### Accepted without effect")[2].partition("\n#")[0]
    rows = re.findall(r"^\| `(\w+)` \| (.*) \|$", section, re.MULTILINE)
    documented = {(name, path) for name, text in rows for path in re.findall(r"`([^`]+)`", text)}
    ignored = {(name, path) for name, table in FIELDS.items() for path in table.ignored.split()}
    assert documented == ignored


def test_a_field_without_a_fate_is_refused() -> None:
    table = fields.Fields("Known", "Ignored", "Refused")
    for request in ({"Refused": 1}, {"New": "x"}):
        with pytest.raises(Invalid, match="not emulated"):
            fields.check(table, "DescribeModel", request)
    fields.check(table, "DescribeModel", {"Known": 1, "Ignored": 1, "Refused": False, "New": []})


def test_fields_are_refused_by_name(emulator: Emulator) -> None:
    create_model(emulator, "named")
    client = emulator.sagemaker
    capture = {
        "InitialSamplingPercentage": 1,
        "DestinationS3Uri": f"s3://{BUCKET}/captured",
        "CaptureOptions": [{"CaptureMode": "Input"}],
    }
    variant = {
        "VariantName": "s",
        "ModelName": "named",
        "InstanceType": "ml.m5.large",
        "InitialInstanceCount": 1,
    }
    for name, given in (("DataCaptureConfig", capture), ("ShadowProductionVariants", [variant])):
        code, message = refused(create_config, emulator, "named", "named", **{name: given})
        assert code == "ValidationException"
        assert message.startswith(f"{name}.")
        assert "not emulated" in message
    create_config(emulator, "named", "named")
    policy = {"TrafficRoutingConfiguration": {"Type": "ALL_AT_ONCE", "WaitIntervalInSeconds": 0}}
    code, message = refused(
        client.create_endpoint,
        EndpointName="named",
        EndpointConfigName="named",
        DeploymentConfig={"BlueGreenUpdatePolicy": policy},
    )
    assert message.startswith("DeploymentConfig.BlueGreenUpdatePolicy.")
    code, message = refused(emulator.train, "x", ExperimentConfig={"TrialName": "t"})
    assert message.startswith("ExperimentConfig.TrialName: not emulated")
    request = tuning_request("x", "Grid", ranges(x=["1"]))
    code, message = refused(
        client.create_hyper_parameter_tuning_job, **request, Autotune={"Mode": "Enabled"}
    )
    assert message.startswith("Autotune.Mode: not emulated")
    runtime = emulator.client("sagemaker-runtime")
    code, message = refused(
        runtime.invoke_endpoint, EndpointName="x", Body=b"", InferenceComponentName="c"
    )
    assert (code, message[:38]) == ("ValidationError", "InferenceComponentName: not emulated. ")


def test_channels_of_pipe_mode_are_refused_by_name(emulator: Emulator) -> None:
    source = {"S3DataType": "S3Prefix", "S3Uri": f"s3://{BUCKET}/photos"}
    for member, value in (("CompressionType", "Gzip"), ("RecordWrapperType", "RecordIO")):
        channel = {
            "ChannelName": "train",
            "DataSource": {"S3DataSource": source},
            member: value,
        }
        _, message = refused(emulator.train, "piped", InputDataConfig=[channel])
        assert message.startswith(f"Channel train: {member} {value} is for Pipe mode only")


def test_what_aws_refuses_beyond_its_model(emulator: Emulator) -> None:
    client = emulator.sagemaker
    create_model(emulator, "strict")
    request = tuning_request(
        "strict",
        "Random",
        {"IntegerParameterRanges": [{"Name": "x", "MinValue": "1.5", "MaxValue": "3"}]},
        MaxNumberOfTrainingJobs=1,
    )
    _, message = refused(client.create_hyper_parameter_tuning_job, **request)
    assert message == "MinValue and MaxValue of the range of x must be integers: '1.5' and '3'"
    variant = {"VariantName": "a", "ModelName": "strict"}
    machines = {"InstanceType": "ml.m5.large", "InitialInstanceCount": 1}
    create = client.create_endpoint_config
    serverless = {"MemorySizeInMB": 1111, "MaxConcurrency": 1}
    _, message = refused(
        create,
        EndpointConfigName="strict",
        ProductionVariants=[variant | {"ServerlessConfig": serverless}],
    )
    assert "Value '1111' at 'MemorySizeInMB' failed to satisfy constraint" in message
    assert "[1024, 2048, 3072, 4096, 5120, 6144]" in message
    _, message = refused(
        create, EndpointConfigName="strict", ProductionVariants=[variant | machines] * 2
    )
    assert message == "The variant names must be unique, but these are not: ['a']"
    data = {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": f"s3://{BUCKET}"}}
    _, message = refused(
        client.create_transform_job,
        TransformJobName="strict",
        ModelName="strict",
        TransformInput={"DataSource": data},
        TransformOutput={"S3OutputPath": f"s3://{BUCKET}/answers"},
        TransformResources={"InstanceType": "ml.m5.large", "InstanceCount": 1},
    )
    assert message.startswith(f"S3Uri s3://{BUCKET}/ has no key prefix")


def test_tags_are_refused_as_aws_does(emulator: Emulator) -> None:
    client = emulator.sagemaker
    container = {"Image": "server:1"}

    def create(name: str, tags: list[dict[str, str]]) -> None:
        client.create_model(
            ModelName=name, ExecutionRoleArn=ROLE, PrimaryContainer=container, Tags=tags
        )

    _, message = refused(create, "tags", [{"Key": "aws:x", "Value": "1"}])
    assert message.startswith("Tag keys must not start with 'aws:'")
    _, message = refused(create, "tags", [{"Key": "a", "Value": "1"}, {"Key": "a", "Value": "2"}])
    assert message == "Tag keys must be unique, but these are given twice: ['a']"
    create("tags", [{"Key": str(number), "Value": "x"} for number in range(50)])
    arn = client.describe_model(ModelName="tags")["ModelArn"]
    code, _ = refused(client.add_tags, ResourceArn=arn, Tags=[{"Key": "more", "Value": "x"}])
    assert code == "ResourceLimitExceeded"
    client.add_tags(ResourceArn=arn, Tags=[{"Key": "1", "Value": "replaced"}])
    assert len(client.list_tags(ResourceArn=arn)["Tags"]) == 50
