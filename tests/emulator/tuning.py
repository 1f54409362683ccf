"""Tuning jobs that several tests make."""

from typing import Any

from tests.emulator.client import BUCKET, MACHINE, ROLE, Emulator


def ranges(**values: list[str]) -> dict[str, Any]:
    return {
        "CategoricalParameterRanges": [
            {"Name": name, "Values": chosen} for name, chosen in values.items()
        ]
    }


def tuning_request(
    name: str, strategy: str, parameters: dict[str, Any], /, **limits: int
) -> dict[str, Any]:
    source = {"S3DataType": "S3Prefix", "S3Uri": f"s3://{BUCKET}/photos"}
    return {
        "HyperParameterTuningJobName": name,
        "HyperParameterTuningJobConfig": {
            "Strategy": strategy,
            "HyperParameterTuningJobObjective": {"Type": "Minimize", "MetricName": "loss"},
            "ResourceLimits": {"MaxParallelTrainingJobs": 2, **limits},
            "ParameterRanges": parameters,
            "RandomSeed": 1,
        },
        "TrainingJobDefinition": {
            "StaticHyperParameters": {"depth": "18"},
            "AlgorithmSpecification": {
                "TrainingImage": "trainer",
                "TrainingInputMode": "File",
                "MetricDefinitions": [{"Name": "loss", "Regex": "loss=([0-9.]+);"}],
            },
            "RoleArn": ROLE,
            "InputDataConfig": [{"ChannelName": "train", "DataSource": {"S3DataSource": source}}],
            "OutputDataConfig": {"S3OutputPath": f"s3://{BUCKET}/tuned"},
            "ResourceConfig": MACHINE,
            "StoppingCondition": {"MaxRuntimeInSeconds": 600},
        },
    }


def tuning_ended(emulator: Emulator, name: str) -> dict[str, Any]:
    """Wait until a tuning job has ended; return its description."""

    def describe() -> dict[str, Any]:
        job: dict[str, Any] = emulator.sagemaker.describe_hyper_parameter_tuning_job(
            HyperParameterTuningJobName=name
        )
        return job

    emulator.wait_until(
        lambda: describe()["HyperParameterTuningJobStatus"] in ("Completed", "Failed", "Stopped")
    )
    return describe()


def trials(emulator: Emulator, name: str, **more: Any) -> list[dict[str, Any]]:
    pages = emulator.sagemaker.get_paginator(
        "list_training_jobs_for_hyper_parameter_tuning_job"
    ).paginate(HyperParameterTuningJobName=name, **more)
    return [trial for page in pages for trial in page["TrainingJobSummaries"]]
