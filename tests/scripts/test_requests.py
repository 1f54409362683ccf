"""Requests, for experiments with every key, checked against AWS's own API model."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from scripts import spec
from scripts.requests import debugging, hosting, registry, training
from scripts.requests.request import Request, as_json
from scripts.spec.endpoint import Transform
from tests.scripts import experiments
from tests.scripts.aws_model import problems
from train import metrics
from train.config import TrainConfig, from_hyperparameters

IMAGE = f"{experiments.REGISTRY}/kennel-train@sha256:{'a' * 64}"
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
HOSTED = [kind for kind in experiments.ENDPOINTS if kind != "transform"]
GRID = {"strategy": "grid", "ranges": {"learning_rate": [0.001, 0.1], "batch_size": [32, 64]}}


def fullest(kind: str = "realtime", **changes: Any) -> spec.Experiment:
    return spec.check(experiments.fullest(kind, **changes), "test")


def smallest(**changes: Any) -> spec.Experiment:
    return spec.check(experiments.smallest(**changes), "test")


def every_request(kind: str, *, full: bool) -> list[Request]:
    if full:
        experiment = fullest(kind)
    else:
        whole = experiments.ENDPOINTS[kind]
        needed = "kind", "instance_type", "output", "input", "models"
        endpoint = {key: whole[key] for key in needed if key in whole}
        experiment = smallest(tuning=GRID, endpoint=endpoint)
    made = [
        training.training_job(experiment, "pets-1", IMAGE),
        training.tuning_job(experiment, "pets-1", IMAGE),
        hosting.model(experiment, "pets-1", IMAGE, "s3://a-bucket/pets/model.tar.gz"),
    ]
    if isinstance(experiment.endpoint, Transform):
        return [*made, hosting.transform_job(experiment, "pets-1", "pets-1")]
    return [
        *made,
        hosting.endpoint_config(experiment, "pets-1", "pets-1"),
        hosting.endpoint(experiment, "pets", "pets-1", NOW),
        *hosting.autoscaling(experiment, "pets"),
    ]


@pytest.mark.parametrize("full", [True, False], ids=["every key", "required keys only"])
@pytest.mark.parametrize("kind", experiments.ENDPOINTS)
def test_every_request_is_valid(kind: str, full: bool) -> None:
    for request in every_request(kind, full=full):
        assert problems(request) == [], request.operation


@pytest.mark.parametrize("strategy", ["grid", "random", "bayesian", "hyperband"])
def test_every_strategy_is_valid(strategy: str) -> None:
    tuning: dict[str, Any] = GRID | {"strategy": strategy}
    tuning |= {} if strategy == "grid" else {"max_jobs": 4}
    if strategy == "hyperband":
        tuning |= {"hyperband": {"min_epochs": 1, "max_epochs": 9}}
    request = training.tuning_job(smallest(tuning=tuning), "pets-1", IMAGE)
    assert problems(request) == []


def test_the_requests_for_images_are_valid() -> None:
    requests = [
        *registry.create_repository("kennel-train"),
        registry.login(),
        registry.describe_repository("kennel-train"),
        registry.create_image("kennel-train", "arn:aws:iam::111122223333:role/kennel", "trains"),
        registry.create_image_version(
            "kennel-train",
            IMAGE,
            job_type="TRAINING",
            framework="PyTorch 2.15",
            processor="GPU",
            aliases=["stable"],
            token="0" * 32,
            notes="first",
        ),
        registry.describe_image("kennel-train"),
        registry.describe_version("kennel-train", alias="stable"),
        registry.describe_version("kennel-train", version=2),
    ]
    for request in requests:
        assert problems(request) == [], request.operation


def test_debugger_settings_reach_the_job_as_hyperparameters() -> None:
    experiment = fullest()
    request = training.training_job(experiment, "pets-1", IMAGE)
    config = from_hyperparameters(request.parameters["HyperParameters"])
    assert config.debugger
    assert config.debugger_interval == 20
    assert config.debugger_collections == "losses,gradients"
    assert config.debugger_raw == "fc"
    assert json.loads(config.debugger_rules) == {"VanishingGradient": {"action": "stop"}}
    assert (config.profiler, config.profiler_interval, config.profiler_steps) == (True, 1, "5:8")
    tuning = training.tuning_job(experiment, "pets-1", IMAGE).parameters["TrainingJobDefinition"]
    static = tuning["StaticHyperParameters"]
    assert static["debugger_interval"] == "20"
    assert not any(key.startswith(("Debug", "Profiler")) for key in tuning)


def test_a_channel_can_be_what_a_manifest_lists() -> None:
    uri = "s3://a-bucket/lists/train.manifest"
    experiment = smallest(data={"train": {"uri": uri, "type": "ManifestFile"}})
    request = training.training_job(experiment, "pets-1", IMAGE)
    assert problems(request) == []
    (channel,) = request.parameters["InputDataConfig"]
    assert channel["DataSource"]["S3DataSource"]["S3DataType"] == "ManifestFile"
    assert channel["DataSource"]["S3DataSource"]["S3Uri"] == uri
    with pytest.raises(spec.SpecError, match=r"a ManifestFile is one object, and .* is a folder"):
        smallest(data={"train": {"uri": "s3://a-bucket/lists/", "type": "ManifestFile"}})
    with pytest.raises(spec.SpecError, match=r"data.train.type: .*'S3Prefix' or 'ManifestFile'"):
        smallest(data={"train": {"uri": uri, "type": "AugmentedManifestFile"}})


def test_managed_rules_are_requested_with_the_collections_they_need() -> None:
    request = training.training_job(fullest(), "pets-1", IMAGE)
    hook = request.parameters["DebugHookConfig"]
    assert hook["S3OutputPath"] == "s3://a-bucket/pets"
    names = [one["CollectionName"] for one in hook["CollectionConfigurations"]]
    assert names == ["losses", "gradients", "weights"]
    intervals = [
        one["CollectionParameters"]["save_interval"] for one in hook["CollectionConfigurations"]
    ]
    assert intervals == ["1", "20", "20"]
    everything = fullest(debugger=experiments.debugger(collections=["activations"]))
    parameters = training.training_job(everything, "pets-1", IMAGE).parameters
    first = parameters["DebugHookConfig"]["CollectionConfigurations"][0]["CollectionParameters"]
    assert first == {"save_interval": "20", "include_regex": "(?!)"}
    assert hook["HookParameters"] == {"save_interval": "20", "smdebug": "true"}
    rules = request.parameters["DebugRuleConfigurations"]
    assert [one["RuleConfigurationName"] for one in rules] == [
        "LossNotDecreasing",
        "WeightUpdateRatio",
    ]
    image = "929884845733.dkr.ecr.eu-west-1.amazonaws.com/sagemaker-debugger-rules:latest"
    assert {one["RuleEvaluatorImage"] for one in rules} == {image}
    assert request.parameters["ProfilerConfig"]["ProfilingIntervalInMilliseconds"] == 1000
    (report,) = request.parameters["ProfilerRuleConfigurations"]
    assert report["RuleParameters"] == {"rule_to_invoke": "ProfilerReport"}
    unmanaged = fullest(debugger=experiments.debugger(managed_rules=[]))
    assert debugging.without(request) == training.training_job(unmanaged, "pets-1", IMAGE)


def test_the_model_finds_wrong_names_types_and_values() -> None:
    request = training.training_job(fullest(), "pets-1", IMAGE)
    request.parameters["ResourceConfig"]["InstanceCount"] = "1"
    request.parameters["RoleArn"] = "kennel-the-role-of-mine"
    request.parameters["InputDataConfig"][0]["InputMode"] = "Fast"
    request.parameters["Tagz"] = []
    report = "\n".join(problems(request))
    for wrong in ("InstanceCount", "RoleArn", "InputMode", "Tagz"):
        assert wrong in report


def test_the_image_reads_hyperparameters_as_they_were_written() -> None:
    written = {
        "epochs": 2,
        "learning_rate": 1e-05,
        "horizontal_flip": False,
        "architecture": "resnet18",
        "weights": "none",
        "trainable": "all",
    }
    request = training.training_job(smallest(hyperparameters=written), "pets-1", IMAGE)
    sent = request.parameters["HyperParameters"]
    assert all(isinstance(value, str) for value in sent.values())
    assert from_hyperparameters(sent) == TrainConfig(**written)


def test_a_grid_is_sent_as_lists_and_the_exact_number_of_jobs() -> None:
    tuning = {
        "strategy": "grid",
        "ranges": {"learning_rate": [0.001, 0.01, 0.1], "batch_size": [32, 64], "epochs": [2, 3]},
    }
    config = training.tuning_job(smallest(tuning=tuning), "pets-1", IMAGE).parameters[
        "HyperParameterTuningJobConfig"
    ]
    assert config["Strategy"] == "Grid"
    assert config["ResourceLimits"]["MaxNumberOfTrainingJobs"] == 12
    assert config["ParameterRanges"] == {
        "CategoricalParameterRanges": [
            {"Name": "learning_rate", "Values": ["0.001", "0.01", "0.1"]},
            {"Name": "batch_size", "Values": ["32", "64"]},
            {"Name": "epochs", "Values": ["2", "3"]},
        ]
    }
    assert config["HyperParameterTuningJobObjective"] == {
        "Type": "Maximize",
        "MetricName": metrics.OBJECTIVE.name,
    }


def test_the_kind_of_a_range_follows_the_hyperparameter() -> None:
    config = training.tuning_job(fullest(), "pets-1", IMAGE).parameters[
        "HyperParameterTuningJobConfig"
    ]
    ranges = config["ParameterRanges"]
    assert ranges["ContinuousParameterRanges"] == [
        {
            "Name": "learning_rate",
            "MinValue": "0.001",
            "MaxValue": "0.1",
            "ScalingType": "Logarithmic",
        }
    ]
    assert [one["Name"] for one in ranges["IntegerParameterRanges"]] == ["epochs"]
    assert [one["Name"] for one in ranges["CategoricalParameterRanges"]] == [
        "batch_size",
        "optimizer",
    ]
    assert config["HyperParameterTuningJobObjective"]["Type"] == "Minimize"


def test_a_tuned_hyperparameter_is_not_static() -> None:
    definition = training.tuning_job(
        fullest(debugger=None, profiler=None), "pets-1", IMAGE
    ).parameters["TrainingJobDefinition"]
    assert definition["StaticHyperParameters"] == {
        "horizontal_flip": "false",
        "architecture": '"resnet18"',
    }


def test_every_metric_the_job_prints_has_its_definition() -> None:
    sent = training.training_job(smallest(), "pets-1", IMAGE).parameters
    assert sent["AlgorithmSpecification"]["MetricDefinitions"] == metrics.definitions()


def test_local_disks_get_no_key() -> None:
    for instance, key in (("ml.g5.xlarge", None), ("ml.p3.2xlarge", "a-key")):
        experiment = smallest(kms_key="a-key", training={"instance_type": instance})
        sent = training.training_job(experiment, "pets-1", IMAGE).parameters
        assert sent["ResourceConfig"].get("VolumeKmsKeyId") == key
        assert sent["OutputDataConfig"]["KmsKeyId"] == "a-key"


def test_gpu_hosts_get_a_new_driver() -> None:
    for instance, ami in (
        ("ml.g5.xlarge", "al2023-ami-sagemaker-inference-gpu-4-1"),
        ("ml.m5.xlarge", None),
    ):
        experiment = smallest(endpoint={"kind": "realtime", "instance_type": instance})
        config = hosting.endpoint_config(experiment, "pets-1", "pets-1").parameters
        assert config["ProductionVariants"][0].get("InferenceAmiVersion") == ami


def test_the_server_takes_what_the_kind_of_endpoint_sends() -> None:
    """1 GB for an asynchronous endpoint, MaxPayloadInMB for a transform job."""
    name = "SAGEMAKER_MAX_PAYLOAD_IN_MB"
    endpoint = {"kind": "async", "instance_type": "ml.m5.xlarge", "output": "s3://a-bucket/out/"}
    batch = {key: endpoint[key] for key in ("instance_type", "output")} | {
        "kind": "transform", "input": "s3://a-bucket/in/", "concurrent": 1,
    }  # fmt: skip

    def sent(of: dict[str, Any], **environment: str) -> str | None:
        experiment = smallest(endpoint=of | {"environment": environment})
        if of["kind"] == "transform":
            parameters = hosting.transform_job(experiment, "pets-1", "pets-1").parameters
        else:
            parameters = hosting.model(experiment, "pets-1", IMAGE, "s3://a").parameters
            parameters = parameters["PrimaryContainer"]
        value: str | None = parameters.get("Environment", {}).get(name)
        return value

    assert sent(endpoint) == "1024"
    assert sent(endpoint, **{name: "50"}) == "50", "the experiment's own"
    assert sent(batch) is None
    assert sent(batch | {"max_payload_mb": 90}) == "90"
    assert sent({"kind": "realtime", "instance_type": "ml.m5.xlarge"}) is None


def test_a_multi_model_endpoint_reads_a_folder_and_can_be_isolated() -> None:
    model = hosting.model(fullest("multi-model"), "pets-1", IMAGE, None).parameters
    assert model["PrimaryContainer"]["Mode"] == "MultiModel"
    assert model["PrimaryContainer"]["ModelDataUrl"] == "s3://a-bucket/models/"
    assert model["EnableNetworkIsolation"] is True


def test_an_endpoint_has_tags_for_its_experiment_and_its_end() -> None:
    tags = hosting.endpoint(fullest(), "pets", "pets-1", NOW).parameters["Tags"]
    assert {one["Key"]: one["Value"] for one in tags} == {
        "team": "vision",
        training.TAG: "pets",
        hosting.EXPIRES: "2026-01-02T04:34:05+00:00",
    }


@pytest.mark.parametrize("kind", HOSTED)
def test_only_instances_have_autoscaling(kind: str) -> None:
    operations = [one.operation for one in hosting.autoscaling(fullest(kind), "pets")]
    expected = [] if kind == "serverless" else ["RegisterScalableTarget", "PutScalingPolicy"]
    assert operations == expected


def test_the_printed_request_is_the_one_that_is_sent() -> None:
    request = training.training_job(smallest(), "pets-1", IMAGE)
    assert json.loads(as_json([request])) == [
        {
            "service": "sagemaker",
            "operation": "CreateTrainingJob",
            "parameters": request.parameters,
        }
    ]
