"""Which hyperparameters a tuning job proposes, and which trials it stops early."""

from typing import Any

import pytest

from emulator.runs.search import Hyperparameters, Search, make, max_resource
from tests.emulator.tuning import ranges

NUMBERS = {
    "ContinuousParameterRanges": [
        {"Name": "rate", "MinValue": "0.01", "MaxValue": "1", "ScalingType": "Logarithmic"},
        {
            "Name": "decay",
            "MinValue": "0.9",
            "MaxValue": "0.99",
            "ScalingType": "ReverseLogarithmic",
        },
    ],
    "IntegerParameterRanges": [{"Name": "depth", "MinValue": "2", "MaxValue": "3"}],
}


def search(strategy: str, parameters: dict[str, Any], /, **more: Any) -> Search:
    objective = {"Type": "Minimize", "MetricName": "loss"}
    return make(
        "c",
        {
            "Strategy": strategy,
            "HyperParameterTuningJobObjective": objective,
            "ParameterRanges": parameters,
            "RandomSeed": 1,
            **more,
        },
        {},
    )


def proposals(search: Search, count: int) -> list[Hyperparameters]:
    """Return hyperparameters of trials that all end with the same objective."""
    found = []
    for _ in range(count):
        proposal = search.propose()
        assert proposal
        number, hyperparameters = proposal
        search.learn(number, 1.0)
        found.append(hyperparameters)
    return found


def test_grid_proposes_every_combination_once() -> None:
    grid = search("Grid", ranges(x=["1", "2"], colour=["red"]))
    assert proposals(grid, 2) == [{"x": "1", "colour": "red"}, {"x": "2", "colour": "red"}]
    assert grid.propose() is None


@pytest.mark.parametrize("strategy", ["Random", "Bayesian"])
def test_proposals_stay_in_their_ranges_and_follow_the_seed(strategy: str) -> None:
    found = proposals(search(strategy, NUMBERS), 20)
    assert len({trial["rate"] for trial in found}) == 20
    assert all(0.01 <= float(trial["rate"]) <= 1 for trial in found)
    assert all(0.9 <= float(trial["decay"]) <= 0.99 for trial in found)
    assert {trial["depth"] for trial in found} == {"2", "3"}
    assert proposals(search(strategy, NUMBERS), 20) == found


@pytest.mark.parametrize("watched", [True, False])
def test_hyperband_stops_bad_trials_after_a_few_values(watched: bool) -> None:
    """A good trial can end before its values were looked at: later trials are compared with it."""
    resources = {"HyperbandStrategyConfig": {"MinResource": 1, "MaxResource": 9}}
    parameters = ranges(x=["1", "2", "3", "4", "5", "6"])
    hyperband = search("Hyperband", parameters, StrategyConfig=resources)
    stopped_after = []
    for _ in range(6):
        proposal = hyperband.propose()
        assert proposal
        number, hyperparameters = proposal
        loss = float(hyperparameters["x"])
        looks = range(1, 10) if watched or loss > 2 else ()
        epochs = (n for n in looks if hyperband.should_stop(number, [loss] * n))
        stopped = next(epochs, None)
        stopped_after.append((hyperparameters["x"], stopped))
        hyperband.learn(number, loss, () if stopped else [loss] * 9)
    assert stopped_after == [
        ("2", None),
        ("6", 1),
        ("2", None),
        ("4", 1),
        ("2", None),
        ("3", 3),
    ]


@pytest.mark.parametrize("strategy", ["Random", "Grid"])
def test_early_stopping_stops_trials_below_the_median(strategy: str) -> None:
    # The median rule needs five completed trials.
    six = ranges(x=["1", "2", "3", "4", "5", "6"])
    auto = search(strategy, six, TrainingJobEarlyStoppingType="Auto")
    for _ in range(5):
        number, _ = auto.propose() or pytest.fail("no proposal")
        assert not auto.should_stop(number, [1.0])
        auto.learn(number, 1.0)
    number, _ = auto.propose() or pytest.fail("no proposal")
    assert auto.should_stop(number, [2.0])


def test_hyperband_finds_its_largest_resource_in_the_static_hyperparameters() -> None:
    given = {"StrategyConfig": {"HyperbandStrategyConfig": {"MaxResource": 5}}}
    assert max_resource(given, {"epochs": "9"}) == 5
    assert max_resource({}, {"num_epochs": "9", "epochs": "many"}) == 9
    assert max_resource({}, {"depth": "9"}) is None
