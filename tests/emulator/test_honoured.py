"""Fields that do what they say: completion criteria, warm start, weights, SNS, gzip, the queue."""

import gzip
import json
import signal
from collections.abc import Iterator
from typing import Any

import pytest

from emulator.runs.completion import Completion
from emulator.slots import Slots
from tests.emulator.client import BUCKET, IMAGES, QUICK, ROLE, Emulator, refused, with_photos
from tests.emulator.hosting import deploy, predict, transform, wait_in_service
from tests.emulator.tuning import ranges, trials, tuning_ended, tuning_request


def criteria(**given: Any) -> Completion:
    objective = {"Type": "Maximize", "MetricName": "m"}
    return Completion(
        {"HyperParameterTuningJobObjective": objective, "TuningJobCompletionCriteria": given}
    )


def test_a_tuning_job_is_complete_when_it_does_not_improve() -> None:
    patience = {"MaxNumberOfTrainingJobsNotImproving": 3}
    completion = criteria(BestObjectiveNotImproving=patience)
    for value in (0.5, 0.504, None, 0.4, 0.6, 0.6, 0.605):
        completion.count(value)
        assert not completion.met
    assert completion.not_improving == 2  # less than 1 % is no improvement
    completion.count(0.1)
    assert completion.met


def test_convergence_ends_a_tuning_job_only_if_asked() -> None:
    silent, asked = criteria(), criteria(ConvergenceDetected={"CompleteOnConvergence": "Enabled"})
    for completion in (silent, asked):
        for _ in range(11):
            completion.count(1.0)
        assert completion.converged
    assert (silent.met, asked.met) == (False, True)


def test_slots_are_given_in_turn_and_a_large_job_runs_alone() -> None:
    slots = Slots(2)
    with slots.take(5, lambda: False) as large:
        assert large
        with slots.take(1, lambda: True) as small:
            assert not small
    with slots.take(1, lambda: False) as one, slots.take(1, lambda: False) as two:
        assert one
        assert two


@pytest.mark.slow
def test_a_tuning_job_without_an_objective_says_so(emulator: Emulator) -> None:
    request = tuning_request("mute", "Grid", ranges(x=["1", "2"]))
    metrics = [{"Name": "loss", "Regex": "accuracy=([0-9.]+);"}]
    request["TrainingJobDefinition"]["AlgorithmSpecification"]["MetricDefinitions"] = metrics
    emulator.sagemaker.create_hyper_parameter_tuning_job(**request)
    job = tuning_ended(emulator, "mute")
    assert job["HyperParameterTuningJobStatus"] == "Failed"
    assert job["FailureReason"].startswith(
        "No objective metrics found after running 2 training jobs."
    )


@pytest.mark.slow
def test_warm_start_and_deletion_of_tuning_jobs(emulator: Emulator) -> None:
    client = emulator.sagemaker
    categories = ranges(x=["0.3", "0.1"])
    parent = tuning_request("parent", "Random", categories, MaxNumberOfTrainingJobs=2)
    client.create_hyper_parameter_tuning_job(**parent)
    best = tuning_ended(emulator, "parent")["BestTrainingJob"]
    warm = {
        "ParentHyperParameterTuningJobs": [{"HyperParameterTuningJobName": "parent"}],
        "WarmStartType": "IdenticalDataAndAlgorithm",
    }
    child = tuning_request("child", "Bayesian", ranges(x=["0.3"]), MaxNumberOfTrainingJobs=1)
    client.create_hyper_parameter_tuning_job(**child, WarmStartConfig=warm)
    job = tuning_ended(emulator, "child")
    value = "FinalHyperParameterTuningJobObjectiveMetric"
    assert job["BestTrainingJob"][value]["Value"] == 0.3
    assert job["OverallBestTrainingJob"][value] == best[value]
    assert job["TrainingJobDefinition"]["StaticHyperParameters"]["_tuning_objective_metric"] == (
        "loss"
    )
    assert job["ConsumedResources"]["RuntimeInSeconds"] >= 0
    _, message = refused(
        client.create_hyper_parameter_tuning_job,
        **tuning_request("other", "Bayesian", ranges(y=["1"]), MaxNumberOfTrainingJobs=1),
        WarmStartConfig=warm,
    )
    assert "['x', 'y'] are in one only" in message
    client.delete_hyper_parameter_tuning_job(HyperParameterTuningJobName="parent")
    name = trials(emulator, "child")[0]["TrainingJobName"]
    client.delete_training_job(TrainingJobName=name)
    assert trials(emulator, "child") == []
    assert refused(client.describe_training_job, TrainingJobName=name)[0] == "ValidationException"
    assert refused(client.delete_training_job, TrainingJobName=name)[0] == "ResourceNotFound"


@pytest.mark.slow
def test_weights_and_capacities_change_and_can_be_retained(emulator: Emulator) -> None:
    client = emulator.sagemaker
    deploy(emulator, "scaled")
    change = {"VariantName": "AllTraffic", "DesiredWeight": 0.5, "DesiredInstanceCount": 2}
    client.update_endpoint_weights_and_capacities(
        EndpointName="scaled", DesiredWeightsAndCapacities=[change]
    )
    wait_in_service(emulator, "scaled")

    def variant() -> dict[str, Any]:
        found: dict[str, Any] = client.describe_endpoint(EndpointName="scaled")[
            "ProductionVariants"
        ][0]
        return found

    assert (variant()["CurrentWeight"], variant()["CurrentInstanceCount"]) == (0.5, 2)
    assert len({predict(emulator, "scaled")["pid"] for _ in range(4)}) == 2
    _, message = refused(
        client.update_endpoint_weights_and_capacities,
        EndpointName="scaled",
        DesiredWeightsAndCapacities=[change | {"VariantName": "other"}],
    )
    assert message == (
        'The variant name(s) "other" is/are not present within endpoint configuration "scaled".'
    )
    client.update_endpoint(
        EndpointName="scaled",
        EndpointConfigName="scaled",
        RetainAllVariantProperties=True,
        ExcludeRetainedVariantProperties=[{"VariantPropertyType": "DesiredInstanceCount"}],
    )
    wait_in_service(emulator, "scaled")
    assert (variant()["CurrentWeight"], variant()["CurrentInstanceCount"]) == (0.5, 1)


@pytest.mark.slow
def test_sns_hears_of_asynchronous_answers(emulator: Emulator) -> None:
    sns, sqs = emulator.client("sns"), emulator.client("sqs")
    queue = sqs.create_queue(QueueName="heard")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]
    topics = {name: sns.create_topic(Name=name)["TopicArn"] for name in ("good", "bad")}
    for topic in topics.values():
        sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn["QueueArn"])
    output = {
        "S3OutputPath": f"s3://{BUCKET}/heard",
        "NotificationConfig": {
            "SuccessTopic": topics["good"],
            "ErrorTopic": topics["bad"],
            "IncludeInferenceResponseIn": ["SUCCESS_NOTIFICATION_TOPIC"],
        },
    }
    deploy(emulator, "heard", AsyncInferenceConfig={"OutputConfig": output})
    client = emulator.client("sagemaker-runtime")

    def heard(body: bytes) -> dict[str, Any]:
        client.invoke_endpoint_async(
            EndpointName="heard",
            Body=body,
            ContentType="image/png",
            InferenceId="mine",
            Filename="answer.json",
        )
        found: list[dict[str, Any]] = []

        def has_arrived() -> bool:
            found.extend(sqs.receive_message(QueueUrl=queue).get("Messages", []))
            return bool(found)

        emulator.wait_until(has_arrived)
        sqs.delete_message(QueueUrl=queue, ReceiptHandle=found[0]["ReceiptHandle"])
        message: dict[str, Any] = json.loads(json.loads(found[0]["Body"])["Message"])
        return message

    good = heard(b"photo")
    assert (good["invocationStatus"], good["inferenceId"]) == ("Completed", "mine")
    assert good["responseParameters"]["outputLocation"] == f"s3://{BUCKET}/heard/answer.json"
    assert json.loads(good["responseBody"]["content"])["body"] == "photo"
    bad = heard(b"status 400")
    assert bad["invocationStatus"] == "Failed"
    assert "Received client error (400)" in bad["failureReason"]


@pytest.mark.slow
def test_a_transform_unpacks_gzip_and_goes_on_after_a_bad_object(emulator: Emulator) -> None:
    for name, body in (("a", b"photo"), ("b", b"status 400"), ("c", b"picture")):
        packed = gzip.compress(body[:2], mtime=0) + gzip.compress(body[2:], mtime=0)
        emulator.s3.put_object(Bucket=BUCKET, Key=f"zipped/{name}", Body=packed)
    emulator.s3.put_object(Bucket=BUCKET, Key="zipped/d", Body=b"no gzip")
    job = transform(emulator, "zipped", "zipped/", TransformInput={"CompressionType": "Gzip"})
    assert job["TransformJobStatus"] == "Failed"
    assert job["FailureReason"].startswith("ClientError: 2 of 4 objects failed: ")
    assert "zipped/b: the container answered 400" in job["FailureReason"]
    assert "zipped/d is not gzip" in job["FailureReason"]
    assert emulator.keys("answers/zipped/") == ["answers/zipped/a.out", "answers/zipped/c.out"]
    assert json.loads(emulator.body("answers/zipped/a.out"))["body"] == "photo"


def test_an_images_texts_change(emulator: Emulator) -> None:
    client = emulator.sagemaker
    client.create_image(ImageName="texts", RoleArn=ROLE, Description="old", DisplayName="name")
    client.get_waiter("image_created").wait(ImageName="texts", WaiterConfig=QUICK)
    client.update_image(ImageName="texts", Description="new", DeleteProperties=["DisplayName"])
    image = client.describe_image(ImageName="texts")
    assert image["Description"] == "new"
    assert "DisplayName" not in image


@pytest.fixture(scope="module")
def narrow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    """An emulator that runs one instance at a time."""
    state = tmp_path_factory.mktemp("narrow") / "state"
    options = ("--engine", "process", "--jobs", "1")
    with with_photos(Emulator(state, IMAGES, options)) as emulator:
        yield emulator


@pytest.mark.slow
def test_jobs_wait_for_their_turn(narrow: Emulator) -> None:
    narrow.train("first", HyperParameters={"sleep": "600"})
    narrow.wait_for_line("first")
    narrow.train("second")
    narrow.train("third", StoppingCondition={"MaxRuntimeInSeconds": 600})
    job = narrow.job("second")
    assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("InProgress", "Starting")
    narrow.sagemaker.stop_training_job(TrainingJobName="third")
    assert narrow.ended("third")["TrainingJobStatus"] == "Stopped"
    assert narrow.job("second")["SecondaryStatus"] == "Starting"
    narrow.sagemaker.stop_training_job(TrainingJobName="first")
    assert narrow.ended("second")["TrainingJobStatus"] == "Completed"


@pytest.mark.slow
def test_a_retry_strategy_starts_a_job_again_after_the_emulator_was_killed(
    narrow: Emulator,
) -> None:
    checkpoints = {"S3Uri": f"s3://{BUCKET}/checkpoints/retried"}
    narrow.train(
        "retried",
        HyperParameters={"steps": "3", "sleep_at": "2"},
        CheckpointConfig=checkpoints,
        RetryStrategy={"MaximumRetryAttempts": 1},
    )
    narrow.wait_for_line("retried", "step 2")
    narrow.wait_until(lambda: narrow.keys("checkpoints/retried"))
    narrow.end(signal.SIGKILL)
    narrow.start()
    job = narrow.ended("retried")
    assert job["TrainingJobStatus"] == "Completed"
    assert "Restarting" in [entry["Status"] for entry in job["SecondaryStatusTransitions"]]
    assert "starting at step 2" in narrow.lines("retried")
