from typing import Any

from tests.emulator.conftest import BUCKET, ROLE, Running
from tests.emulator.test_training import refused

MACHINES = {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1}


def ranges(**values: list[str]) -> dict[str, Any]:
    return {
        "CategoricalParameterRanges": [
            {"Name": name, "Values": chosen} for name, chosen in values.items()
        ]
    }


def request(
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
            "ResourceConfig": MACHINES,
            "StoppingCondition": {"MaxRuntimeInSeconds": 600},
        },
    }


def ended(emulator: Running, name: str) -> dict[str, Any]:
    def look() -> dict[str, Any]:
        found: dict[str, Any] = emulator.sagemaker.describe_hyper_parameter_tuning_job(
            HyperParameterTuningJobName=name
        )
        return found

    emulator.until(
        lambda: look()["HyperParameterTuningJobStatus"] in ("Completed", "Failed", "Stopped")
    )
    return look()


def trials(emulator: Running, name: str, **more: Any) -> list[dict[str, Any]]:
    pages = emulator.sagemaker.get_paginator(
        "list_training_jobs_for_hyper_parameter_tuning_job"
    ).paginate(HyperParameterTuningJobName=name, **more)
    return [one for page in pages for one in page["TrainingJobSummaries"]]


def test_grid_tries_every_combination_and_finds_the_best(emulator: Running) -> None:
    parameters = ranges(x=["0.3", "0.1", "0.2"], colour=['"red"'])
    emulator.sagemaker.create_hyper_parameter_tuning_job(**request("grid", "Grid", parameters))
    job = ended(emulator, "grid")
    assert job["HyperParameterTuningJobStatus"] == "Completed"
    assert job["TrainingJobStatusCounters"]["Completed"] == 3
    assert job["ObjectiveStatusCounters"] == {"Succeeded": 3, "Pending": 0, "Failed": 0}
    best = job["BestTrainingJob"]
    assert best["TunedHyperParameters"] == {"x": "0.1", "colour": '"red"'}
    assert best["FinalHyperParameterTuningJobObjectiveMetric"]["Value"] == 0.1
    order = {"SortBy": "FinalObjectiveMetricValue", "SortOrder": "Descending"}
    found = trials(emulator, "grid", PaginationConfig={"PageSize": 2}, **order)
    assert [one["TunedHyperParameters"]["x"] for one in found] == ["0.3", "0.2", "0.1"]
    training = emulator.job(best["TrainingJobName"])
    assert training["TuningJobArn"] == job["HyperParameterTuningJobArn"]
    assert training["HyperParameters"] == {
        "x": "0.1",
        "colour": '"red"',
        "depth": "18",
        "_tuning_objective_metric": "loss",
    }


def test_random_and_bayesian_stay_in_their_ranges(emulator: Running) -> None:
    parameters = {
        "ContinuousParameterRanges": [
            {"Name": "x", "MinValue": "0.01", "MaxValue": "1", "ScalingType": "Logarithmic"}
        ],
        "IntegerParameterRanges": [{"Name": "n", "MinValue": "2", "MaxValue": "3"}],
        **ranges(colour=["red", "blue"]),
    }
    for strategy in ("Random", "Bayesian"):
        emulator.sagemaker.create_hyper_parameter_tuning_job(
            **request(strategy, strategy, parameters, MaxNumberOfTrainingJobs=3)
        )
    for strategy in ("Random", "Bayesian"):
        assert ended(emulator, strategy)["HyperParameterTuningJobStatus"] == "Completed"
        tuned = [one["TunedHyperParameters"] for one in trials(emulator, strategy)]
        assert len(tuned) == 3
        assert len({one["x"] for one in tuned}) == 3
        assert all(0.01 <= float(one["x"]) <= 1 for one in tuned)
        assert {one["n"] for one in tuned} <= {"2", "3"}
        assert {one["colour"] for one in tuned} <= {"red", "blue"}


def test_hyperband_stops_what_is_hopeless(emulator: Running) -> None:
    # Job name and seed fix the draws and the brackets: x = 2, 6 (hopeless), 2, 4 (hopeless), 2, 3.
    said = request(
        "c", "Hyperband", ranges(x=["1", "2", "3", "4", "5", "6"]), MaxNumberOfTrainingJobs=6
    )
    said["HyperParameterTuningJobConfig"]["StrategyConfig"] = {
        "HyperbandStrategyConfig": {"MinResource": 1, "MaxResource": 9}
    }
    said["HyperParameterTuningJobConfig"]["ResourceLimits"]["MaxParallelTrainingJobs"] = 1
    said["TrainingJobDefinition"]["StaticHyperParameters"] = {"curve": "9"}
    emulator.sagemaker.create_hyper_parameter_tuning_job(**said)
    job = ended(emulator, "c")
    assert job["HyperParameterTuningJobStatus"] == "Completed"
    assert job["TrainingJobStatusCounters"]["Stopped"] >= 1
    assert job["TrainingJobStatusCounters"]["Completed"] >= 1


def test_stopping_a_tuning_job_stops_its_trials(emulator: Running) -> None:
    said = request("halted", "Grid", ranges(x=["1", "2", "3"]))
    said["TrainingJobDefinition"]["StaticHyperParameters"] = {"sleep": "600"}
    emulator.sagemaker.create_hyper_parameter_tuning_job(**said)
    emulator.until(lambda: len(trials(emulator, "halted")) == 2)
    emulator.sagemaker.stop_hyper_parameter_tuning_job(HyperParameterTuningJobName="halted")
    job = ended(emulator, "halted")
    assert job["HyperParameterTuningJobStatus"] == "Stopped"
    assert [one["TrainingJobStatus"] for one in trials(emulator, "halted")] == ["Stopped"] * 2


def test_a_tuning_job_fails_when_all_trials_do(emulator: Running) -> None:
    said = request("hapless", "Grid", ranges(x=["1", "2"]))
    said["TrainingJobDefinition"]["StaticHyperParameters"] = {"fail_on": "algo-1"}
    emulator.sagemaker.create_hyper_parameter_tuning_job(**said)
    job = ended(emulator, "hapless")
    assert job["HyperParameterTuningJobStatus"] == "Failed"
    assert job["FailureReason"].startswith("All training jobs failed.")
    assert "BestTrainingJob" not in job


def test_what_tuning_refuses(emulator: Running) -> None:
    create = emulator.sagemaker.create_hyper_parameter_tuning_job
    continuous = {"ContinuousParameterRanges": [{"Name": "x", "MinValue": "0", "MaxValue": "1"}]}
    code, message = refused(create, **request("t", "Grid", continuous))
    assert code == "ValidationException"
    assert "categorical parameter ranges only" in message
    many = [str(number) for number in range(31)]
    code, message = refused(create, **request("t", "Grid", ranges(x=many)))
    assert "Member must have length less than or equal to 30" in message
    few = ranges(x=["1", "2"])
    code, message = refused(create, **request("t", "Grid", few, MaxNumberOfTrainingJobs=3))
    assert "the number of combinations of the Grid strategy, 2" in message
    code, message = refused(create, **request("t", "Random", few))
    assert "MaxNumberOfTrainingJobs must be present" in message
    code, message = refused(create, **request("t", "Random", few, MaxNumberOfTrainingJobs=10_001))
    assert code == "ResourceLimitExceeded"
    said = request("t", "Grid", few)
    said["HyperParameterTuningJobConfig"]["HyperParameterTuningJobObjective"]["MetricName"] = "acc"
    code, message = refused(create, **said)
    assert "'acc' is not among the MetricDefinitions" in message
    for machines in ({}, {"ResourceConfig": MACHINES, "HyperParameterTuningResourceConfig": {}}):
        said = request("t", "Grid", few)
        del said["TrainingJobDefinition"]["ResourceConfig"]
        said["TrainingJobDefinition"] |= machines
        code, message = refused(create, **said)
        assert message.startswith("Exactly one of ResourceConfig and Hyper")
    code, message = refused(create, **request("n" * 33, "Grid", few))
    assert "hyperParameterTuningJobName" in message
