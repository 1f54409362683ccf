import pytest

from tests.emulator.client import Emulator, refused
from tests.emulator.tuning import ranges, trials, tuning_ended, tuning_request

pytestmark = pytest.mark.slow


def test_grid_tries_every_combination_and_finds_the_best(emulator: Emulator) -> None:
    parameters = ranges(x=["0.3", "0.1", "0.2"], colour=['"red"'])
    tags = [{"Key": "owner", "Value": "Ada"}]
    emulator.sagemaker.create_hyper_parameter_tuning_job(
        **tuning_request("grid", "Grid", parameters), Tags=tags
    )
    job = tuning_ended(emulator, "grid")
    assert job["HyperParameterTuningJobStatus"] == "Completed"
    assert job["TrainingJobStatusCounters"]["Completed"] == 3
    assert job["ObjectiveStatusCounters"] == {"Succeeded": 3, "Pending": 0, "Failed": 0}
    best = job["BestTrainingJob"]
    assert best["TunedHyperParameters"] == {"x": "0.1", "colour": '"red"'}
    assert best["FinalHyperParameterTuningJobObjectiveMetric"]["Value"] == 0.1
    order = {"SortBy": "FinalObjectiveMetricValue", "SortOrder": "Descending"}
    found = trials(emulator, "grid", PaginationConfig={"PageSize": 2}, **order)
    assert [trial["TunedHyperParameters"]["x"] for trial in found] == ["0.3", "0.2", "0.1"]
    training = emulator.job(best["TrainingJobName"])
    assert emulator.sagemaker.list_tags(ResourceArn=training["TrainingJobArn"])["Tags"] == tags
    assert training["TuningJobArn"] == job["HyperParameterTuningJobArn"]
    assert training["HyperParameters"] == {
        "x": "0.1",
        "colour": '"red"',
        "depth": "18",
        "_tuning_objective_metric": "loss",
    }


def test_random_and_bayesian_stay_in_their_ranges(emulator: Emulator) -> None:
    parameters = {
        "ContinuousParameterRanges": [
            {"Name": "x", "MinValue": "0.01", "MaxValue": "1", "ScalingType": "Logarithmic"}
        ],
        "IntegerParameterRanges": [{"Name": "n", "MinValue": "2", "MaxValue": "3"}],
        **ranges(colour=["red", "blue"]),
    }
    for strategy in ("Random", "Bayesian"):
        emulator.sagemaker.create_hyper_parameter_tuning_job(
            **tuning_request(strategy, strategy, parameters, MaxNumberOfTrainingJobs=3)
        )
    for strategy in ("Random", "Bayesian"):
        assert tuning_ended(emulator, strategy)["HyperParameterTuningJobStatus"] == "Completed"
        tuned = [trial["TunedHyperParameters"] for trial in trials(emulator, strategy)]
        assert len(tuned) == 3
        assert len({trial["x"] for trial in tuned}) == 3
        assert all(0.01 <= float(trial["x"]) <= 1 for trial in tuned)
        assert {trial["n"] for trial in tuned} <= {"2", "3"}
        assert {trial["colour"] for trial in tuned} <= {"red", "blue"}


def test_hyperband_stops_trials_that_are_not_promising(emulator: Emulator) -> None:
    # Job name and seed fix values and brackets: x = 2, 6, 2, 4, 2, 3. Hyperband stops 6, 4 and 3.
    request = tuning_request(
        "c", "Hyperband", ranges(x=["1", "2", "3", "4", "5", "6"]), MaxNumberOfTrainingJobs=6
    )
    config = request["HyperParameterTuningJobConfig"]
    config["StrategyConfig"] = {"HyperbandStrategyConfig": {"MinResource": 1, "MaxResource": 9}}
    config["ResourceLimits"]["MaxParallelTrainingJobs"] = 1
    static = {"epochs": "9", "wait_from": "3"}  # trials with x >= 3 wait until they are stopped
    request["TrainingJobDefinition"]["StaticHyperParameters"] = static
    emulator.sagemaker.create_hyper_parameter_tuning_job(**request)
    job = tuning_ended(emulator, "c")
    assert job["HyperParameterTuningJobStatus"] == "Completed"
    results = [
        (trial["TunedHyperParameters"]["x"], trial["TrainingJobStatus"])
        for trial in trials(emulator, "c")
    ]
    assert sorted(results) == [
        ("2", "Completed"),
        ("2", "Completed"),
        ("2", "Completed"),
        ("3", "Stopped"),
        ("4", "Stopped"),
        ("6", "Stopped"),
    ]


def test_stopping_a_tuning_job_stops_its_trials(emulator: Emulator) -> None:
    request = tuning_request("halted", "Grid", ranges(x=["1", "2", "3"]))
    request["TrainingJobDefinition"]["StaticHyperParameters"] = {"sleep": "600"}
    emulator.sagemaker.create_hyper_parameter_tuning_job(**request)
    emulator.wait_until(lambda: len(trials(emulator, "halted")) == 2)
    emulator.sagemaker.stop_hyper_parameter_tuning_job(HyperParameterTuningJobName="halted")
    job = tuning_ended(emulator, "halted")
    assert job["HyperParameterTuningJobStatus"] == "Stopped"
    assert [trial["TrainingJobStatus"] for trial in trials(emulator, "halted")] == ["Stopped"] * 2
    _, message = refused(
        emulator.sagemaker.stop_hyper_parameter_tuning_job, HyperParameterTuningJobName="halted"
    )
    assert message == "The request was rejected because the tuning job is in status Stopped."
    assert refused(emulator.sagemaker.create_hyper_parameter_tuning_job, **request) == (
        "ResourceInUse",
        "A hyperparameter tuning job with the name, halted, already exists. Choose a different "
        "name.",
    )
    missing = refused(
        emulator.sagemaker.describe_hyper_parameter_tuning_job, HyperParameterTuningJobName="none"
    )
    assert missing == (
        "ResourceNotFound",
        "Amazon SageMaker can't find a tuning job called none. Type another name.",
    )


def test_a_tuning_job_fails_when_all_trials_do(emulator: Emulator) -> None:
    request = tuning_request("hapless", "Grid", ranges(x=["1", "2"]))
    request["TrainingJobDefinition"]["StaticHyperParameters"] = {"fail_on": "algo-1"}
    emulator.sagemaker.create_hyper_parameter_tuning_job(**request)
    job = tuning_ended(emulator, "hapless")
    assert job["HyperParameterTuningJobStatus"] == "Failed"
    assert job["FailureReason"].startswith("All training jobs failed.")
    assert "BestTrainingJob" not in job
