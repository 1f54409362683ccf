"""The whole story through boto3: tune, train with the best trial's values, deploy, predict."""

from tests.emulator.client import BUCKET, QUICK, Emulator, alive, refused
from tests.emulator.hosting import create_config, create_model, invoke, predict, wait_in_service
from tests.emulator.tuning import ranges, tuning_ended, tuning_request


def test_tune_train_deploy_predict(emulator: Emulator) -> None:
    client = emulator.sagemaker
    client.create_hyper_parameter_tuning_job(
        **tuning_request("story", "Grid", ranges(x=["0.3", "0.1"]))
    )
    tuning = tuning_ended(emulator, "story")
    assert tuning["HyperParameterTuningJobStatus"] == "Completed"
    best = tuning["BestTrainingJob"]
    assert best["TunedHyperParameters"] == {"x": "0.1"}

    emulator.train("story", HyperParameters=best["TunedHyperParameters"])
    client.get_waiter("training_job_completed_or_stopped").wait(
        TrainingJobName="story", WaiterConfig=QUICK
    )
    job = emulator.job("story")
    assert job["TrainingJobStatus"] == "Completed"
    assert job["FinalMetricDataList"][0]["Value"] == 0.1
    assert "channel train: ['cat/1.jpg', 'dog/2.jpg']" in emulator.lines("story")
    assert refused(emulator.train, "story") == (
        "ResourceInUse",
        "Training job names must be unique within an AWS account and region, and a training job "
        f"with this name already exists ({job['TrainingJobArn']})",
    )

    artifacts = job["ModelArtifacts"]["S3ModelArtifacts"]
    assert artifacts == f"s3://{BUCKET}/out/story/output/model.tar.gz"
    create_model(emulator, "story", ModelDataUrl=artifacts)
    create_config(emulator, "story", "story")
    client.create_endpoint(EndpointName="story", EndpointConfigName="story")
    wait_in_service(emulator, "story")
    answer = predict(emulator, "story", b"photo", ContentType="image/jpeg")
    assert (answer["body"], answer["type"]) == ("photo", "image/jpeg")
    assert answer["model"] == {"weights-0.bin": "weights"}  # what the job has trained

    client.delete_endpoint(EndpointName="story")
    client.get_waiter("endpoint_deleted").wait(EndpointName="story", WaiterConfig=QUICK)
    assert not alive(answer["pid"])
    assert refused(invoke, emulator, "story") == (
        "ValidationError",
        "Endpoint story of account 123456789012 not found.",
    )
