"""A whole job with the SageMaker Python SDK, version 2: tune, deploy, predict, delete.

For notebooks that use `sagemaker<3`. It imports nothing of Kennel and only names its images. The
photos are in S3 below --data, as train/, valid/ and test/.
"""

import argparse
import json
import time
from pathlib import Path

from sagemaker.estimator import Estimator
from sagemaker.model import Model
from sagemaker.predictor import Predictor
from sagemaker.serializers import IdentitySerializer
from sagemaker.session import Session
from sagemaker.tuner import CategoricalParameter, HyperparameterTuner

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
    name = time.strftime("sdk2-%m%d-%H%M%S")
    session = Session()

    estimator = Estimator(
        image_uri=given.train_image,
        role=given.role,
        instance_count=1,
        instance_type=given.instance_type,
        max_run=3600,
        output_path=given.output,
        hyperparameters=given.hyperparameters,
        # The image records tensors and the timeline by itself.
        debugger_hook_config=False,
        disable_profiler=True,
        sagemaker_session=session,
    )
    tuner = HyperparameterTuner(
        estimator,
        objective_metric_name=OBJECTIVE["Name"],
        metric_definitions=[OBJECTIVE],
        hyperparameter_ranges={"learning_rate": CategoricalParameter(given.learning_rates)},
        strategy="Grid",
        # A grid runs all combinations: SageMaker refuses another number.
        max_jobs=len(given.learning_rates),
    )
    inputs = {split: f"{given.data}/{split}" for split in ("train", "valid", "test")}
    tuner.fit(inputs, job_name=name, wait=True, logs=False)
    best = tuner.best_training_job()
    print("best:", best)

    job = session.describe_training_job(best)
    model = Model(
        image_uri=given.serve_image,
        model_data=job["ModelArtifacts"]["S3ModelArtifacts"],
        role=given.role,
        name=name,
        predictor_cls=Predictor,
        sagemaker_session=session,
    )
    predictor = model.deploy(
        initial_instance_count=1,
        instance_type=given.instance_type,
        endpoint_name=name,
        serializer=IdentitySerializer(content_type="application/x-image"),
        container_startup_health_check_timeout=600,
    )
    try:
        answer = predictor.predict(
            given.photo.read_bytes(), initial_args={"Accept": "application/json;verbose"}
        )
        print("answer:", json.loads(answer)["predicted_label"])
    finally:
        # This also deletes the endpoint's configuration.
        predictor.delete_endpoint()
        session.sagemaker_client.get_waiter("endpoint_deleted").wait(
            EndpointName=name, WaiterConfig={"Delay": 5, "MaxAttempts": 240}
        )
        model.delete_model()


if __name__ == "__main__":
    main()
