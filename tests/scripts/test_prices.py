"""Costs come from the dated table, are called an estimate, and are never guessed."""

import pytest

from scripts import spec
from scripts.aws import prices
from tests.scripts import experiments


def test_a_tuning_jobs_worst_case_is_all_jobs_running_to_their_limit() -> None:
    training = {"instance_type": "ml.m5.xlarge", "instance_count": 2, "max_run_seconds": 1800}
    line = prices.before_training(spec.check(experiments.smallest(training=training), "test"), 18)
    assert line.startswith("18 training jobs, 2 x ml.m5.xlarge, at most 0.5 h each: at most $4.14")
    assert str(prices.table().collected) in line
    assert "estimate" in line


def test_an_unknown_instance_type_has_no_price() -> None:
    training = {"instance_type": "ml.x9.large"}
    line = prices.before_training(spec.check(experiments.smallest(training=training), "test"), 1)
    assert "$" not in line
    assert "no known price for ml.x9.large" in line


@pytest.mark.parametrize(
    ("kind", "part"),
    [
        ("realtime", "2 x ml.g5.xlarge: $2.82 per hour until `kennel down`"),
        ("transform", "2 x ml.m5.xlarge: $0.46 per hour while the job runs"),
        ("serverless", "not in the price table"),
    ],
)
def test_hosting_per_hour(kind: str, part: str) -> None:
    assert part in prices.before_hosting(spec.check(experiments.fullest(kind), "test"))


def test_the_savings_of_a_spot_job() -> None:
    job = {
        "BillableTimeInSeconds": 900,
        "TrainingTimeInSeconds": 3600,
        "EnableManagedSpotTraining": True,
        "ResourceConfig": {"InstanceType": "ml.m5.xlarge", "InstanceCount": 2},
    }
    line = prices.after_training(job)
    assert line.startswith("billed: 900 s of 2 x ml.m5.xlarge ($0.12, estimate")
    assert line.endswith("spot saved 75%")
