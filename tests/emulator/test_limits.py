"""Limits that AWS documents and botocore's model does not have: refused before anything runs."""

from typing import Any

import pytest

from tests.emulator.client import BUCKET, MACHINE, ROLE, Emulator, refused
from tests.emulator.hosting import create_model
from tests.emulator.tuning import ranges, tuning_request

Record = dict[str, Any]
DAY_S = 86_400
PLACE = "https://bucket/key"
SPOT = {
    "EnableManagedSpotTraining": True,
    "StoppingCondition": {"MaxRuntimeInSeconds": 60, "MaxWaitTimeInSeconds": 60},
}


def channel(uri: str, **more: Any) -> list[Record]:
    source = {"S3DataType": "S3Prefix", "S3Uri": uri, **more}
    return [{"ChannelName": "train", "DataSource": {"S3DataSource": source}}]


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"ResourceConfig": MACHINE | {"InstanceCount": 0}}, "InstanceCount must be present"),
        ({"ResourceConfig": {"InstanceType": "ml.m5.large"}}, "InstanceCount must be present"),
        (
            SPOT | {"ResourceConfig": MACHINE | {"KeepAlivePeriodInSeconds": 60}},
            "KeepAlivePeriodInSeconds keeps a warm pool",
        ),
        ({"StoppingCondition": {"MaxRuntimeInSeconds": 29 * DAY_S}}, "at most 28 days"),
        (
            {"ProfilerConfig": {"ProfilingIntervalInMilliseconds": 7}},
            "ProfilingIntervalInMilliseconds must be one of (100, ",
        ),
        ({"OutputDataConfig": {"S3OutputPath": PLACE}}, "OutputDataConfig.S3OutputPath: https"),
        ({"CheckpointConfig": {"S3Uri": PLACE}}, "CheckpointConfig.S3Uri: https"),
        (
            {"InputDataConfig": channel(f"s3://{BUCKET}/photos", AttributeNames=["label"])},
            "AttributeNames is for AugmentedManifestFile only, not for S3Prefix",
        ),
        (
            {
                "CheckpointConfig": {
                    "S3Uri": f"s3://{BUCKET}/checkpoints",
                    "LocalPath": "/opt/ml/input/data/train",
                }
            },
            "LocalPath /opt/ml/input/data/train is where the job's input is",
        ),
        ({"DebugHookConfig": {"S3OutputPath": PLACE}}, "DebugHookConfig.S3OutputPath: https"),
        ({"InputDataConfig": channel(PLACE)}, "Channel train: https"),
    ],
)
def test_what_training_refuses(emulator: Emulator, given: Record, reason: str) -> None:
    code, message = refused(emulator.train, "limited", **given)
    assert code == "ValidationException"
    assert reason in message


def numbers(kind: str, low: str, high: str, count: int = 1) -> Record:
    return {
        f"{kind}ParameterRanges": [
            {"Name": f"{kind}{number}", "MinValue": low, "MaxValue": high}
            for number in range(count)
        ]
    }


@pytest.mark.parametrize(
    ("parameters", "reason"),
    [
        (numbers("Integer", "1.5", "3"), "must be integers: '1.5' and '3'"),
        (numbers("Integer", "1_0", "1_000"), "must be integers"),
        (numbers("Integer", " 1", "3"), "must be integers"),
        (numbers("Integer", "\u0661", "\u0663"), "must be integers"),
        (numbers("Integer", "1", "9" * 19), "exceeds 9223372036854775807"),
        (numbers("Continuous", "0", "1_0"), "must be numbers"),
        (numbers("Continuous", "nan", "1"), "must be numbers"),
        (numbers("Continuous", "0", "1e999"), "must be finite"),
        (numbers("Continuous", "-1.7e308", "1.7e308"), "The range of Continuous0 is too wide"),
        (
            numbers("Integer", "1", "2", 16) | numbers("Continuous", "1", "2", 16),
            "At most 30 hyperparameters can be tuned, but 32 have ranges",
        ),
    ],
)
def test_which_ranges_tuning_refuses(emulator: Emulator, parameters: Record, reason: str) -> None:
    request = tuning_request("limited", "Random", parameters, MaxNumberOfTrainingJobs=1)
    code, message = refused(emulator.sagemaker.create_hyper_parameter_tuning_job, **request)
    assert code == "ValidationException"
    assert reason in message


def hyperband(low: int = 1, high: int | None = None) -> Record:
    config = {"MinResource": low} | ({"MaxResource": high} if high else {})
    return {"StrategyConfig": {"HyperbandStrategyConfig": config}}


@pytest.mark.parametrize(
    ("strategy", "config", "static", "reason"),
    [
        ("Hyperband", {}, {}, "MaxResource must be present, or one of the static"),
        ("Hyperband", hyperband(9, 3), {}, "MaxResource must be from MinResource, 9, to 20000"),
        ("Hyperband", hyperband(9), {"epochs": "3"}, "not 3"),
        ("Hyperband", hyperband(1, 20_001), {}, "not 20001"),
        (
            "Hyperband",
            hyperband(1, 9) | {"TrainingJobEarlyStoppingType": "Auto"},
            {},
            "TrainingJobEarlyStoppingType must be Off",
        ),
        ("Bayesian", hyperband(1, 9), {}, "StrategyConfig is for the Hyperband strategy only"),
        ("Random", {}, {f"h{number}": "1" for number in range(100)}, "together are 101"),
    ],
)
def test_which_strategies_tuning_refuses(
    emulator: Emulator, strategy: str, config: Record, static: Record, reason: str
) -> None:
    few = ranges(x=["1", "2"])
    request = tuning_request("limited", strategy, few, MaxNumberOfTrainingJobs=1)
    request["HyperParameterTuningJobConfig"] |= config
    request["TrainingJobDefinition"]["StaticHyperParameters"] = static
    code, message = refused(emulator.sagemaker.create_hyper_parameter_tuning_job, **request)
    assert code == "ValidationException"
    assert reason in message


SERVERLESS = {"MemorySizeInMB": 1024, "MaxConcurrency": 1}


@pytest.mark.parametrize(
    ("variants", "given", "reason"),
    [
        ([{}, {"VariantName": "b"}], {}, "serverless endpoints do not have several variants"),
        ([{}], {"EnableNetworkIsolation": True}, "do not have EnableNetworkIsolation"),
        (
            [{"ServerlessConfig": SERVERLESS | {"ProvisionedConcurrency": 2}}],
            {},
            "ProvisionedConcurrency 2 must be at most MaxConcurrency, 1",
        ),
        ([{"ModelName": "limited-many"}], {}, "do not have multi-model endpoints"),
    ],
)
def test_what_serverless_endpoints_refuse(
    emulator: Emulator, variants: list[Record], given: Record, reason: str
) -> None:
    models(emulator)
    variant = {"VariantName": "a", "ModelName": "limited", "ServerlessConfig": SERVERLESS}
    code, message = refused(
        emulator.sagemaker.create_endpoint_config,
        EndpointConfigName="limited",
        ProductionVariants=[variant | more for more in variants],
        **given,
    )
    assert code == "ValidationException"
    assert reason in message


def models(emulator: Emulator) -> None:
    if not emulator.sagemaker.list_models(NameContains="limited")["Models"]:
        create_model(emulator, "limited")
        prefix = f"s3://{BUCKET}/models/"
        create_model(emulator, "limited-many", Mode="MultiModel", ModelDataUrl=prefix)


@pytest.mark.parametrize(
    ("output", "reason"),
    [
        ({}, "OutputConfig.S3OutputPath must be present"),
        ({"S3OutputPath": PLACE}, "S3OutputPath: ClientError: https://bucket/key is not an s3"),
        (
            {"S3OutputPath": f"s3://{BUCKET}/x", "S3FailurePath": PLACE},
            "OutputConfig.S3FailurePath",
        ),
    ],
)
def test_where_asynchronous_answers_cannot_go(
    emulator: Emulator, output: Record, reason: str
) -> None:
    models(emulator)
    variant = {
        "VariantName": "a",
        "ModelName": "limited",
        "InstanceType": "ml.m5.large",
        "InitialInstanceCount": 1,
    }
    code, message = refused(
        emulator.sagemaker.create_endpoint_config,
        EndpointConfigName="limited",
        ProductionVariants=[variant],
        AsyncInferenceConfig={"OutputConfig": output},
    )
    assert code == "ValidationException"
    assert reason in message


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"MaxPayloadInMB": 101}, "must be at most 100: 101"),
        ({"MaxPayloadInMB": 60, "MaxConcurrentTransforms": 2}, "must be at most 100: 120"),
        (
            {"TransformResources": {"InstanceType": "ml.m5.large", "InstanceCount": 101}},
            "InstanceCount must be at most 100",
        ),
        ({"ModelName": "limited-many"}, "batch transform does not have multi-model containers"),
    ],
)
def test_what_transform_refuses(emulator: Emulator, given: Record, reason: str) -> None:
    models(emulator)
    request: Record = {
        "TransformJobName": "limited",
        "ModelName": "limited",
        "TransformInput": {"DataSource": channel(f"s3://{BUCKET}/photos/")[0]["DataSource"]},
        "TransformOutput": {"S3OutputPath": f"s3://{BUCKET}/limited"},
        "TransformResources": {"InstanceType": "ml.m5.large", "InstanceCount": 1},
    }
    code, message = refused(emulator.sagemaker.create_transform_job, **(request | given))
    assert code == "ValidationException"
    assert reason in message


def test_roles_of_other_shapes_are_refused(emulator: Emulator) -> None:
    code, message = refused(emulator.train, "limited", RoleArn=ROLE.replace("123456789012", "1"))
    assert code == "ValidationException"
    assert "at 'roleArn' failed to satisfy constraint" in message


@pytest.mark.parametrize(
    ("given", "member"),
    [
        ({"CustomAttributes": "x" * 1025}, "customAttributes"),
        ({"InferenceId": "x" * 65}, "inferenceId"),
        ({"TargetVariant": "-"}, "targetVariant"),
    ],
)
def test_headers_of_invocations_have_the_models_limits(
    emulator: Emulator, given: Record, member: str
) -> None:
    runtime = emulator.client("sagemaker-runtime")
    code, message = refused(runtime.invoke_endpoint, EndpointName="x", Body=b"x", **given)
    assert code == "ValidationError"
    assert message.startswith("1 validation error detected: Value ")
    assert f"at '{member}' failed to satisfy constraint" in message


@pytest.mark.slow
def test_a_regex_that_never_ends_is_given_up_and_the_log_says_so(emulator: Emulator) -> None:
    metrics = [
        {"Name": "endless", "Regex": "^(.*?,){30}P([0-9])"},
        {"Name": "loss", "Regex": "loss=([0-9.]+)"},
    ]
    algorithm = {
        "TrainingImage": "trainer",
        "TrainingInputMode": "File",
        "MetricDefinitions": metrics,
    }
    numbers = ",".join("1234567890" * 6)
    emulator.train(
        "slow-regex", AlgorithmSpecification=algorithm, HyperParameters={"numbers": numbers}
    )
    job = emulator.ended("slow-regex")
    assert job["TrainingJobStatus"] == "Completed"
    assert [one["MetricName"] for one in job["FinalMetricDataList"]] == ["loss"]
    lines = emulator.lines("slow-regex")
    (place,) = (number for number, line in enumerate(lines) if numbers in line)
    assert lines[place + 1] == (
        "kennel emulator: the regex of metric endless takes over 5 s for one line: the metric gets "
        "no more values in this job. Write it without repeats inside of repeats, such as (a+)+"
    )
