"""What SageMaker fills in where a request is silent, so that Describe answers what AWS answers.

The values are from the documentation of the API's members in botocore's model, and from answers in
public threads.
"""

from typing import Any

from emulator.contract import Record
from emulator.errors import Invalid
from emulator.store.objects import Location

_DAY_S = 86_400


def filled(given: Record, values: Record) -> Record:
    """Return the request with defaults for what it leaves out, at every depth."""
    answer = dict(given)
    for name, value in values.items():
        if answer.get(name) is None:
            answer[name] = value
        elif isinstance(value, dict):
            answer[name] = filled(answer[name], value)
    return answer


def training(request: Record) -> Record:
    """Return what training jobs and the definitions of tuning jobs share."""
    request = filled(
        request,
        {
            "OutputDataConfig": {"KmsKeyId": "", "CompressionType": "GZIP"},
            "StoppingCondition": {"MaxRuntimeInSeconds": _DAY_S},
            "EnableNetworkIsolation": False,
            "EnableInterContainerTrafficEncryption": False,
            "EnableManagedSpotTraining": False,
        },
    )
    source = {"S3DataSource": {"S3DataDistributionType": "FullyReplicated"}}
    channel = {"DataSource": source, "CompressionType": "None", "RecordWrapperType": "None"}
    if "InputDataConfig" in request:
        request["InputDataConfig"] = _each(request["InputDataConfig"], channel)
    return request


def training_job(request: Record) -> Record:
    """Return a new training job: the place of its model is known from the start."""
    request = training(request)
    output = request["OutputDataConfig"]
    packed = output["CompressionType"] == "GZIP"
    folder = Location.parse(output["S3OutputPath"]).join(request["TrainingJobName"], "output")
    profiler = request.get("ProfilerConfig", {"DisableProfiler": True})
    return request | {
        "AlgorithmSpecification": filled(
            request["AlgorithmSpecification"], {"EnableSageMakerMetricsTimeSeries": False}
        ),
        "ModelArtifacts": {
            "S3ModelArtifacts": str(folder.join("model.tar.gz" if packed else "model/"))
        },
        "ProfilingStatus": "Disabled" if profiler.get("DisableProfiler") else "Enabled",
    }


def tuning_job(request: Record) -> Record:
    """Return a new tuning job. SDKs find the machines in ResourceConfig, however they were given.

    Raises:
        Invalid: see `resources`.
    """
    config = filled(
        request["HyperParameterTuningJobConfig"],
        {
            "TrainingJobEarlyStoppingType": "Off",
            "ParameterRanges": {
                "IntegerParameterRanges": [],
                "ContinuousParameterRanges": [],
                "CategoricalParameterRanges": [],
            },
        },
    )
    ranges = config["ParameterRanges"]
    for kind in ("IntegerParameterRanges", "ContinuousParameterRanges"):
        ranges[kind] = _each(ranges[kind], {"ScalingType": "Auto"})
    definition = training(request["TrainingJobDefinition"])
    definition["ResourceConfig"] = resources(definition)
    objective = config["HyperParameterTuningJobObjective"]["MetricName"]
    static = definition.get("StaticHyperParameters", {})
    definition["StaticHyperParameters"] = static | {"_tuning_objective_metric": objective}
    return request | {"HyperParameterTuningJobConfig": config, "TrainingJobDefinition": definition}


def transform_job(request: Record) -> Record:
    """Return a new transform job."""
    return filled(
        request,
        {
            "MaxConcurrentTransforms": 0,
            "TransformInput": {"CompressionType": "None", "SplitType": "None"},
            "TransformOutput": {"AssembleWith": "None", "KmsKeyId": ""},
            "DataProcessing": {"InputFilter": "$", "OutputFilter": "$", "JoinSource": "None"},
        },
    )


def model(request: Record) -> Record:
    """Return a new model."""
    request = filled(request, {"EnableNetworkIsolation": False})
    container = {"Mode": "SingleModel", "Environment": {}}
    if "PrimaryContainer" in request:
        request["PrimaryContainer"] = filled(request["PrimaryContainer"], container)
    if "Containers" in request:
        request["Containers"] = _each(request["Containers"], container)
    return request


def endpoint_config(request: Record) -> Record:
    """Return a new endpoint configuration."""
    request = filled(request, {"EnableNetworkIsolation": False})
    variants = _each(request["ProductionVariants"], {"InitialVariantWeight": 1.0})
    return request | {"ProductionVariants": variants}


def _each(items: list[Any], values: Record) -> list[Any]:
    return [filled(item, values) for item in items]


def resources(definition: Record) -> Record:
    """Return a trial's ResourceConfig: from ResourceConfig or HyperParameterTuningResourceConfig.

    Raises:
        Invalid: both or neither are given, or several instance types to choose from.
    """
    given = definition.get("HyperParameterTuningResourceConfig")
    if ("ResourceConfig" in definition) == (given is not None):
        raise Invalid(
            "Exactly one of ResourceConfig and HyperParameterTuningResourceConfig must be present"
        )
    if given is None:
        config: Record = definition["ResourceConfig"]
        return config
    choices = given.get("InstanceConfigs", [])
    if len(choices) > 1:
        raise Invalid("Several InstanceConfigs are not emulated: give one")
    chosen = given | (choices[0] if choices else {})
    keys = ("InstanceType", "InstanceCount", "VolumeSizeInGB", "VolumeKmsKeyId")
    return {key: chosen[key] for key in keys if key in chosen}
