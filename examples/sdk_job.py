"""A whole job with the SageMaker Python SDK, version 3: tune, deploy, predict, delete.

It imports nothing of Kennel and only names its images. The photos are in S3 below --data, as
train/, valid/ and test/. The SDK needs its own environment: pip install 'sagemaker>=3'.
"""

import argparse
import json
import time
from pathlib import Path

from sagemaker.core.parameter import CategoricalParameter
from sagemaker.core.resources import Endpoint, EndpointConfig, Model, TrainingJob
from sagemaker.core.shapes import ContainerDefinition, ProductionVariant
from sagemaker.train import ModelTrainer
from sagemaker.train.configs import (
    Compute,
    InputData,
    MetricDefinition,
    OutputDataConfig,
    StoppingCondition,
)
from sagemaker.train.tuner import HyperparameterTuner

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
    name = time.strftime("sdk-%m%d-%H%M%S")

    inputs = [
        InputData(channel_name=split, data_source=f"{given.data}/{split}")
        for split in ("train", "valid", "test")
    ]
    trainer = ModelTrainer(
        training_image=given.train_image,
        role=given.role,
        base_job_name=name,
        compute=Compute(instance_type=given.instance_type, instance_count=1),
        stopping_condition=StoppingCondition(max_runtime_in_seconds=3600),
        output_data_config=OutputDataConfig(s3_output_path=given.output),
        hyperparameters=given.hyperparameters,
        input_data_config=inputs,
    ).with_metric_definitions([MetricDefinition(name=OBJECTIVE["Name"], regex=OBJECTIVE["Regex"])])
    tuner = HyperparameterTuner(
        model_trainer=trainer,
        objective_metric_name=OBJECTIVE["Name"],
        # The tuner does not use the trainer's definitions.
        metric_definitions=[OBJECTIVE],
        hyperparameter_ranges={"learning_rate": CategoricalParameter(given.learning_rates)},
        strategy="Grid",
        base_tuning_job_name=name,
    )
    tuner.tune(inputs=inputs, job_name=name, wait=True)
    best = TrainingJob.get(tuner.best_training_job())
    print("best:", best.training_job_name)

    Model.create(
        model_name=name,
        primary_container=ContainerDefinition(
            image=given.serve_image,
            model_data_url=best.model_artifacts.s3_model_artifacts,
        ),
        execution_role_arn=given.role,
    )
    variant = ProductionVariant(
        variant_name="AllTraffic",
        model_name=name,
        instance_type=given.instance_type,
        initial_instance_count=1,
        container_startup_health_check_timeout_in_seconds=600,
    )
    EndpointConfig.create(endpoint_config_name=name, production_variants=[variant])
    endpoint = Endpoint.create(endpoint_name=name, endpoint_config_name=name)
    try:
        endpoint.wait_for_status("InService")
        answer = endpoint.invoke(
            body=given.photo.read_bytes(),
            content_type="application/x-image",
            accept="application/json;verbose",
        )
        print("answer:", json.loads(answer.body.read())["predicted_label"])
    finally:
        # Only the endpoint costs money, so it is deleted first.
        endpoint.delete()
        endpoint.wait_for_delete()
        EndpointConfig.get(name).delete()
        Model.get(name).delete()


if __name__ == "__main__":
    main()
