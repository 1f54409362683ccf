"""Jobs and an endpoint for the pages to show; their programs take a second."""

import json
from typing import Any

from tests.emulator.client import BUCKET, MACHINE, ROLE, Emulator
from tests.emulator.hosting import deploy, predict
from train import metrics

LOUD = "<img src=x onerror=alert(1)><script>alert(2)</script>"


def definition(image: str = "program") -> dict[str, Any]:
    """What a training job and the trials of a tuning job share."""
    source = {"S3DataType": "S3Prefix", "S3Uri": f"s3://{BUCKET}/photos"}
    return {
        "AlgorithmSpecification": {
            "TrainingImage": image,
            "TrainingInputMode": "File",
            "MetricDefinitions": metrics.definitions(),
        },
        "RoleArn": ROLE,
        "InputDataConfig": [{"ChannelName": "train", "DataSource": {"S3DataSource": source}}],
        "OutputDataConfig": {"S3OutputPath": f"s3://{BUCKET}/out"},
        "ResourceConfig": MACHINE,
        "StoppingCondition": {"MaxRuntimeInSeconds": 3600},
    }


def train(emulator: Emulator, name: str, /, **given: object) -> None:
    """Start a training job with these hyperparameters."""
    words = {
        key: value if isinstance(value, str) else json.dumps(value) for key, value in given.items()
    }
    emulator.sagemaker.create_training_job(
        TrainingJobName=name, HyperParameters=words, **definition()
    )


def tune(emulator: Emulator, name: str) -> None:
    """Start a tuning job over a number and a word."""
    emulator.sagemaker.create_hyper_parameter_tuning_job(
        HyperParameterTuningJobName=name,
        HyperParameterTuningJobConfig={
            "Strategy": "Grid",
            "HyperParameterTuningJobObjective": {
                "Type": "Maximize",
                "MetricName": "validation:accuracy",
            },
            "ResourceLimits": {"MaxParallelTrainingJobs": 2},
            "ParameterRanges": {
                "CategoricalParameterRanges": [
                    {"Name": "learning_rate", "Values": ["0.001", "0.01", "0.2"]},
                    {"Name": "optimizer", "Values": ["sgd", "adamw"]},
                ]
            },
        },
        TrainingJobDefinition=definition(),
    )


def all_kinds(emulator: Emulator) -> None:
    """Two training jobs, one that failed, a tuning job, a sweep and an endpoint; all ended."""
    hostile = {
        "lines": [LOUD, "\x1b[31mred", "[metric] train:loss=0.5 epoch=1 extra"],
        "note": LOUD,
    }
    train(emulator, "plain-one", epochs=4, learning_rate=0.01, **hostile)
    train(emulator, "plain-two", epochs=6, learning_rate=0.1, api_key="swordfish")
    train(emulator, "broken", fail=f"DataError: {LOUD}")
    train(emulator, "swept", sweep={"learning_rate": [0.001, 0.01, 0.1]})
    tune(emulator, "tuned")
    deploy(emulator, "digits")
    predict(emulator, "digits")
    for name in ("plain-one", "plain-two", "broken", "swept"):
        emulator.ended(name)
    emulator.wait_until(
        lambda: (
            emulator.sagemaker.describe_hyper_parameter_tuning_job(
                HyperParameterTuningJobName="tuned"
            )["HyperParameterTuningJobStatus"]
            == "Completed"
        )
    )
