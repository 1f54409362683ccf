"""A whole job in plain boto3, for users with their own scripts: tune, deploy, predict, delete.

It imports nothing of Kennel and only names its images. The photos are in S3 below --data, as
train/, valid/ and test/. To use the emulator, export what `kennel emulator start` prints.
"""

import argparse
import json
import time
from pathlib import Path

import boto3

# One entry of what `kennel metrics` prints: how SageMaker finds this metric in the log.
OBJECTIVE = {
    "Name": "validation:accuracy",
    "Regex": r"\[metric\] validation:accuracy=([-+]?[0-9]*\.?[0-9]+(?:[eE][-+]?[0-9]+)?) ",
}


def main() -> None:
    """Run the job from start to end."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photo", type=Path, help="the picture to classify")
    parser.add_argument("--role", required=True)
    parser.add_argument("--data", required=True, help="s3://bucket/photos")
    parser.add_argument("--output", required=True, help="s3://bucket/jobs")
    parser.add_argument("--train-image", required=True)
    parser.add_argument("--serve-image", required=True)
    parser.add_argument("--instance-type", default="ml.m5.xlarge")
    parser.add_argument("--learning-rates", nargs="+", default=["0.001", "0.01"])
    parser.add_argument("--hyperparameters", type=json.loads, default={})
    given = parser.parse_args()
    sagemaker = boto3.client("sagemaker")
    name = time.strftime("boto3-%m%d-%H%M%S")

    sagemaker.create_hyper_parameter_tuning_job(
        HyperParameterTuningJobName=name,
        HyperParameterTuningJobConfig={
            "Strategy": "Grid",
            "HyperParameterTuningJobObjective": {
                "Type": "Maximize",
                "MetricName": OBJECTIVE["Name"],
            },
            # A grid runs all combinations: it takes no number of jobs.
            "ResourceLimits": {"MaxParallelTrainingJobs": 1},
            "ParameterRanges": {
                "CategoricalParameterRanges": [
                    {"Name": "learning_rate", "Values": given.learning_rates}
                ]
            },
        },
        TrainingJobDefinition={
            "StaticHyperParameters": {k: json.dumps(v) for k, v in given.hyperparameters.items()},
            "AlgorithmSpecification": {
                "TrainingImage": given.train_image,
                "TrainingInputMode": "File",
                "MetricDefinitions": [OBJECTIVE],
            },
            "RoleArn": given.role,
            "InputDataConfig": [
                {
                    "ChannelName": split,
                    "DataSource": {
                        "S3DataSource": {
                            "S3DataType": "S3Prefix",
                            "S3Uri": f"{given.data}/{split}",
                        }
                    },
                }
                for split in ("train", "valid", "test")
            ],
            "OutputDataConfig": {"S3OutputPath": given.output},
            "ResourceConfig": {
                "InstanceType": given.instance_type,
                "InstanceCount": 1,
                "VolumeSizeInGB": 50,
            },
            "StoppingCondition": {"MaxRuntimeInSeconds": 3600},
        },
    )
    while True:
        tuning = sagemaker.describe_hyper_parameter_tuning_job(HyperParameterTuningJobName=name)
        if tuning["HyperParameterTuningJobStatus"] in ("Completed", "Failed", "Stopped"):
            break
        time.sleep(5)
    best = tuning["BestTrainingJob"]
    print("best:", best["TrainingJobName"], best["TunedHyperParameters"])

    job = sagemaker.describe_training_job(TrainingJobName=best["TrainingJobName"])
    sagemaker.create_model(
        ModelName=name,
        ExecutionRoleArn=given.role,
        PrimaryContainer={
            "Image": given.serve_image,
            "ModelDataUrl": job["ModelArtifacts"]["S3ModelArtifacts"],
        },
    )
    variant = {
        "VariantName": "AllTraffic",
        "ModelName": name,
        "InstanceType": given.instance_type,
        "InitialInstanceCount": 1,
        "ContainerStartupHealthCheckTimeoutInSeconds": 600,
    }
    sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[variant])
    sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)
    waiter = {"Delay": 5, "MaxAttempts": 240}
    try:
        sagemaker.get_waiter("endpoint_in_service").wait(EndpointName=name, WaiterConfig=waiter)
        answer = boto3.client("sagemaker-runtime").invoke_endpoint(
            EndpointName=name,
            Body=given.photo.read_bytes(),
            ContentType="application/x-image",
            Accept="application/json;verbose",
        )
        print("answer:", json.loads(answer["Body"].read())["predicted_label"])
    finally:
        # Only the endpoint costs money, so it is deleted first.
        sagemaker.delete_endpoint(EndpointName=name)
        sagemaker.get_waiter("endpoint_deleted").wait(EndpointName=name, WaiterConfig=waiter)
        sagemaker.delete_endpoint_config(EndpointConfigName=name)
        sagemaker.delete_model(ModelName=name)


if __name__ == "__main__":
    main()
