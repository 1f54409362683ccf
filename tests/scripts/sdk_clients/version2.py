"""What users of SageMaker's Python SDK, version 2, do; run by that SDK's own interpreter."""

import json
import sys
from pathlib import Path

from sagemaker.analytics import HyperparameterTuningJobAnalytics, TrainingJobAnalytics
from sagemaker.async_inference import AsyncInferenceConfig, WaiterConfig
from sagemaker.estimator import Estimator
from sagemaker.model import Model
from sagemaker.multidatamodel import MultiDataModel
from sagemaker.predictor import Predictor
from sagemaker.s3 import S3Downloader, S3Uploader
from sagemaker.serializers import IdentitySerializer
from sagemaker.session import Session
from sagemaker.transformer import Transformer
from sagemaker.tuner import CategoricalParameter, HyperparameterTuner

ROLE = "arn:aws:iam::123456789012:role/kennel"
BUCKET = "kennel-data"
LOSS = {"Name": "loss", "Regex": "loss=([0-9.]+);"}
# The SDK asks a hard-coded address of STS for the account, unless a bucket is given.
session = Session(default_bucket=BUCKET)


def estimator(**more: object) -> Estimator:
    settings = {
        "image_uri": "trainer",
        "role": ROLE,
        "instance_count": 1,
        "instance_type": "ml.m5.large",
        "output_path": f"s3://{BUCKET}/out",
        "metric_definitions": [LOSS],
        "hyperparameters": {"epochs": "3"},
        "disable_profiler": True,
        "debugger_hook_config": False,
        "sagemaker_session": session,
    }
    return Estimator(**(settings | more))


def files(folder: Path) -> None:
    """Names of files that must be encoded in addresses."""
    name, target = "1 é+%.jpg", f"s3://{BUCKET}/sdk2/files"
    (folder / "cat").mkdir(parents=True)
    (folder / "cat" / name).write_text("cat")
    assert session.upload_data(str(folder / "cat"), key_prefix="sdk2/data") == (
        f"s3://{BUCKET}/sdk2/data"
    )
    assert session.list_s3_files(BUCKET, "sdk2/data") == [f"sdk2/data/{name}"]
    assert S3Uploader.upload(str(folder), target, sagemaker_session=session) == target
    assert S3Downloader.list(target, sagemaker_session=session) == [f"{target}/cat/{name}"]
    S3Downloader.download(target, str(folder / "down"), sagemaker_session=session)
    assert (folder / "down" / "cat" / name).read_text() == "cat"


def attach() -> None:
    trained = estimator()
    trained.fit({"train": f"s3://{BUCKET}/photos"}, job_name="Sdk2-Attach", logs="All")
    trained.logs()
    assert trained.latest_training_job.rule_job_summary() == []
    again = Estimator.attach("Sdk2-Attach", sagemaker_session=session)
    assert again.model_data == f"s3://{BUCKET}/out/Sdk2-Attach/output/model.tar.gz"
    assert again.hyperparameters() == {"epochs": "3"}
    assert (again.max_run, again.instance_type) == (86400, "ml.m5.large")
    frame = TrainingJobAnalytics("Sdk2-Attach", ["loss"], sagemaker_session=session).dataframe()
    assert list(frame["metric_name"]) == ["loss"]
    assert frame["value"][0] == 0.25


def tune() -> None:
    tuner = HyperparameterTuner(
        estimator(),
        objective_metric_name="loss",
        objective_type="Minimize",
        metric_definitions=[LOSS],
        hyperparameter_ranges={"x": CategoricalParameter(["0.3", "0.1"])},
        strategy="Bayesian",
        max_jobs=2,
        max_parallel_jobs=1,
    )
    tuner.fit({"train": f"s3://{BUCKET}/photos"}, job_name="sdk2-tune", wait=True)
    again = HyperparameterTuner.attach("sdk2-tune", sagemaker_session=session)
    best = again.best_training_job()
    model = again.best_estimator().model_data
    assert model == f"s3://{BUCKET}/out/{best}/output/model.tar.gz"
    frame = HyperparameterTuningJobAnalytics("sdk2-tune", sagemaker_session=session).dataframe()
    assert len(frame) == 2
    assert frame["FinalObjectiveValue"].min() in (0.1, 0.3)
    assert list(again.analytics().tuning_ranges) == ["x"]
    child = again.identical_dataset_and_algorithm_tuner()
    child.max_jobs = 1
    child.metric_definitions = [LOSS]  # the SDK does not take them along
    child.fit({"train": f"s3://{BUCKET}/photos"}, job_name="sdk2-warm", wait=True)
    described = child.describe()
    assert described["WarmStartConfig"]["WarmStartType"] == "IdenticalDataAndAlgorithm"
    assert described["OverallBestTrainingJob"]["ObjectiveStatus"] == "Succeeded"


def script_mode(folder: Path) -> None:
    """A script of the user, which the SDK uploads and the toolkit in the container fetches."""
    (folder / "script.py").write_text(
        "import os, pathlib\n"
        "print('script in', os.getcwd(), os.environ['SM_CHANNEL_TRAIN'])\n"
        "assert pathlib.Path('/opt/ml/input/data/train/cat/1.jpg').read_text() == 'cat'\n"
        "(pathlib.Path(os.environ['SM_MODEL_DIR']) / 'made.txt').write_text('by the script')\n"
    )
    scripted = estimator(image_uri="toolkit", entry_point="script.py", source_dir=str(folder))
    scripted.fit({"train": f"s3://{BUCKET}/photos"}, job_name="sdk2-script", logs="None")
    assert scripted.latest_training_job.describe()["TrainingJobStatus"] == "Completed"


def host() -> None:
    data = f"s3://{BUCKET}/model.tar.gz"
    shared = {"role": ROLE, "sagemaker_session": session, "predictor_cls": Predictor}
    model = Model("server:1", model_data=data, name="sdk2-async", **shared)
    predictor = model.deploy(
        initial_instance_count=1,
        instance_type="ml.m5.large",
        endpoint_name="sdk2-async",
        async_inference_config=AsyncInferenceConfig(output_path=f"s3://{BUCKET}/sdk2/answers"),
    )
    predictor.serializer = IdentitySerializer()
    # The SDK's threads poll for the answer and for the error until they give up.
    often = WaiterConfig(max_attempts=20, delay=1)
    question = f"s3://{BUCKET}/sdk2/question"
    answer = predictor.predict(b"photo", input_path=question, waiter_config=often)
    assert json.loads(answer)["body"] == "photo"
    predictor.delete_endpoint()

    # No model is there yet: the first one comes after the deployment.
    many = MultiDataModel(
        "sdk2-many",
        model_data_prefix=f"s3://{BUCKET}/sdk2-many/",
        image_uri="server:1",
        role=ROLE,
        sagemaker_session=session,
    )
    many.predictor_cls = Predictor
    predictor = many.deploy(1, "ml.m5.large", endpoint_name="sdk2-many")
    many.add_model(data, "first.tar.gz")
    assert list(many.list_models()) == ["first.tar.gz"]
    predictor.serializer = IdentitySerializer()
    assert predictor.predict(b"x", target_model="first.tar.gz") == b"archived"
    predictor.update_endpoint(initial_instance_count=1, instance_type="ml.m5.xlarge")
    predictor.delete_endpoint()

    transformer = Transformer(
        "sdk2-async",
        1,
        "ml.m5.large",
        output_path=f"s3://{BUCKET}/sdk2/transformed",
        sagemaker_session=session,
    )
    transformer.transform(
        f"s3://{BUCKET}/photos/", content_type="image/jpeg", job_name="sdk2-transform", logs=False
    )
    again = Transformer.attach("sdk2-transform", sagemaker_session=session)
    assert again.output_path == f"s3://{BUCKET}/sdk2/transformed"


STEPS = {
    "files": lambda: files(Path(sys.argv[2]) / "files"),
    "attach": attach,
    "tune": tune,
    "script": lambda: script_mode(Path(sys.argv[2])),
    "host": host,
}
for step in sys.argv[1].split(","):
    STEPS[step]()
    print("did", step, flush=True)
