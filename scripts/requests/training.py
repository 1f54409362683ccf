"""CreateTrainingJob and CreateHyperParameterTuningJob from an experiment. Pure functions."""

from typing import Any

from scripts.requests import debugging, objects
from scripts.requests.request import Request, given, tags
from scripts.spec import Experiment, encoded
from scripts.spec.instances import has_local_disk
from scripts.spec.section import Scalar
from scripts.spec.tuning import Range, Tuning
from train import metrics

# The tag on everything that Kennel creates; its value is the experiment's name.
TAG = "kennel:experiment"

_STRATEGIES = {
    "grid": "Grid",
    "random": "Random",
    "bayesian": "Bayesian",
    "hyperband": "Hyperband",
}
_SCALES = {
    "auto": "Auto",
    "linear": "Linear",
    "log": "Logarithmic",
    "reverse-log": "ReverseLogarithmic",
}


def training_job(
    experiment: Experiment,
    job: str,
    image: str,
    hyperparameters: dict[str, Scalar] | None = None,
) -> Request:
    """CreateTrainingJob.

    Args:
        experiment: the spec.
        job: the training job's name.
        image: ECR URI of the train image; aliases are already resolved.
        hyperparameters: replace the experiment's own, for example with a tuning job's best.
    """
    chosen = experiment.settings() if hyperparameters is None else hyperparameters
    parameters = {
        "TrainingJobName": job,
        "HyperParameters": {name: encoded(value) for name, value in chosen.items()},
        **_definition(experiment, image),
        **debugging.fields(experiment),
        "Tags": tags(owned(experiment)),
    }
    return Request("sagemaker", "CreateTrainingJob", given(parameters))


def tuning_job(experiment: Experiment, job: str, image: str) -> Request:
    """CreateHyperParameterTuningJob; the experiment must have a `[tuning]` section."""
    tuning = experiment.tuning
    assert tuning is not None
    fixed = {name: encoded(value) for name, value in experiment.fixed().items()}
    parameters = {
        "HyperParameterTuningJobName": job,
        "HyperParameterTuningJobConfig": _tuning_config(tuning),
        "TrainingJobDefinition": given(
            {"StaticHyperParameters": fixed, **_definition(experiment, image)}
        ),
        "WarmStartConfig": _warm_start(tuning),
        "Tags": tags(owned(experiment)),
    }
    return Request("sagemaker", "CreateHyperParameterTuningJob", given(parameters))


def owned(experiment: Experiment) -> dict[str, str]:
    """The experiment's tags, and the tag that marks what Kennel created."""
    return experiment.tags | {TAG: experiment.name}


def vpc(experiment: Experiment) -> dict[str, list[str]] | None:
    """SageMaker's VpcConfig."""
    if experiment.vpc is None:
        return None
    return {
        "Subnets": experiment.vpc.subnets,
        "SecurityGroupIds": experiment.vpc.security_groups,
    }


def _definition(experiment: Experiment, image: str) -> dict[str, Any]:
    """What a training job and each trial of a tuning job share."""
    training = experiment.training
    # SageMaker refuses a key for local disks, which encrypt themselves.
    local_disk = has_local_disk(training.instance_type)
    return given(
        {
            "AlgorithmSpecification": {
                "TrainingImage": image,
                "TrainingInputMode": "File",
                "MetricDefinitions": metrics.definitions(),
            },
            "RoleArn": experiment.role,
            "InputDataConfig": [_channel(experiment, name) for name in experiment.data],
            "OutputDataConfig": given(
                {"S3OutputPath": experiment.output, "KmsKeyId": experiment.kms_key}
            ),
            "ResourceConfig": given(
                {
                    "InstanceType": training.instance_type,
                    "InstanceCount": training.instance_count,
                    "VolumeSizeInGB": training.volume_gb,
                    "VolumeKmsKeyId": None if local_disk else experiment.kms_key,
                    "KeepAlivePeriodInSeconds": training.keep_alive_seconds,
                }
            ),
            "StoppingCondition": given(
                {
                    "MaxRuntimeInSeconds": training.max_run_seconds,
                    "MaxWaitTimeInSeconds": training.max_wait_seconds,
                }
            ),
            "VpcConfig": vpc(experiment),
            "EnableManagedSpotTraining": training.spot or None,
            "EnableNetworkIsolation": training.network_isolation or None,
            "EnableInterContainerTrafficEncryption": training.encrypt_between_hosts or None,
            "CheckpointConfig": given({"S3Uri": training.checkpoints}),
            "RetryStrategy": given({"MaximumRetryAttempts": training.retries}),
            "Environment": training.environment,
        }
    )


def _channel(experiment: Experiment, name: str) -> dict[str, Any]:
    channel = experiment.data[name]
    source = {
        "S3DataType": channel.type,
        "S3Uri": channel.uri if channel.type == "ManifestFile" else objects.prefix(channel.uri),
        "S3DataDistributionType": channel.distribution,
    }
    return {
        "ChannelName": name,
        "DataSource": {"S3DataSource": source},
        "InputMode": channel.mode,
    }


def _tuning_config(tuning: Tuning) -> dict[str, Any]:
    hyperband = tuning.hyperband and {
        "HyperbandStrategyConfig": {
            "MinResource": tuning.hyperband.min_epochs,
            "MaxResource": tuning.hyperband.max_epochs,
        }
    }
    minimize = tuning.objective.endswith(":loss")
    return given(
        {
            "Strategy": _STRATEGIES[tuning.strategy],
            "StrategyConfig": hyperband,
            "HyperParameterTuningJobObjective": {
                "Type": "Minimize" if minimize else "Maximize",
                "MetricName": tuning.objective,
            },
            "ResourceLimits": given(
                {
                    "MaxNumberOfTrainingJobs": tuning.jobs,
                    "MaxParallelTrainingJobs": tuning.parallel,
                    "MaxRuntimeInSeconds": tuning.max_run_seconds,
                }
            ),
            "ParameterRanges": _ranges(tuning.ranges),
            "TrainingJobEarlyStoppingType": "Auto" if tuning.early_stopping else "Off",
            "TuningJobCompletionCriteria": given({"TargetObjectiveMetricValue": tuning.target}),
            "RandomSeed": tuning.seed,
        }
    )


def _ranges(ranges: dict[str, Range]) -> dict[str, list[dict[str, Any]]]:
    by_kind: dict[str, list[dict[str, Any]]] = {}
    for name, one in ranges.items():
        entry: dict[str, Any] = {"Name": name}
        if one.values is not None:
            entry["Values"] = [encoded(value) for value in one.values]
        else:
            low, high = one.ends()
            entry |= {"MinValue": encoded(low), "MaxValue": encoded(high)}
            entry["ScalingType"] = _SCALES[one.scale]
        by_kind.setdefault(f"{one.kind(name)}ParameterRanges", []).append(entry)
    return by_kind


def _warm_start(tuning: Tuning) -> dict[str, Any] | None:
    if tuning.warm_start is None:
        return None
    return {
        "ParentHyperParameterTuningJobs": [
            {"HyperParameterTuningJobName": parent} for parent in tuning.warm_start.parents
        ],
        "WarmStartType": "IdenticalDataAndAlgorithm"
        if tuning.warm_start.identical
        else "TransferLearning",
    }
