"""Every trial of a sweep gives the result of its own job, and the best one becomes the bundle."""

import csv
import json
from pathlib import Path

import pytest
import torch

from classifier import bundle
from tests.train import head_jobs
from train import metrics
from train.config import ConfigError, from_hyperparameters
from train.platform.stop import Interrupted, Stop

GRID = {"learning_rate": [0.001, 0.05], "batch_size": [16, 32], "epochs": [1, 2]}


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return head_jobs.backbone(tmp_path_factory.mktemp("weights"))


@pytest.mark.parametrize(
    ("grid", "settings"),
    [
        pytest.param(GRID, {}, id="sgd", marks=pytest.mark.slow),
        pytest.param(
            {"learning_rate": [0.001, 0.05]},
            {"optimizer": "adamw", "class_weights": "balanced", "clip_gradient_norm": 0.5},
            id="every option",
        ),
    ],
)
def test_each_trial_gives_the_result_of_its_own_job(
    grid: dict[str, list[object]],
    settings: dict[str, object],
    weights: Path,
    few_digits: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("KENNEL_FEATURES", str(tmp_path / "features"))
    config = head_jobs.config(weights, sweep=json.dumps(grid), **settings)
    best = head_jobs.train(tmp_path / "sweep", few_digits, config)
    log = capsys.readouterr().out
    swept = json.loads((tmp_path / "sweep" / "data" / "sweep.json").read_text())
    lines = [facts for line in log.splitlines() if (facts := metrics.trial(line))]
    assert sorted(line["trial"] for line in lines) == list(range(1, len(swept["trials"]) + 1))
    for trial, own in zip(swept["trials"], config.trials(), strict=True):
        assert {name: trial[name] for name in grid} == {n: getattr(own, n) for n in grid}
        alone = tmp_path / str(trial["trial"])
        head = head_jobs.train(alone, few_digits, own)
        history = json.loads((alone / "data" / "metrics.json").read_text())["history"]
        for ours, expected in zip(trial["history"], history, strict=True):
            assert ours["validation:accuracy"] == pytest.approx(
                expected["validation:accuracy"], abs=1e-3
            )
            assert ours["train:loss"] == pytest.approx(expected["train:loss"], rel=1e-4)
            assert ours["train:learning_rate"] == expected["train:learning_rate"]
        if trial["trial"] == swept["best"]:
            torch.testing.assert_close(best, head, rtol=1e-3, atol=1e-5)


def test_the_bundle_is_the_best_trial_with_its_hyperparameters(
    weights: Path, few_digits: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    grid = {"learning_rate": [1e-6, 0.05], "label_smoothing": [0.0, 0.1], "weight_decay": [0, 0.01]}
    config = head_jobs.config(weights, epochs=2, sweep=json.dumps(grid))
    head_jobs.train(tmp_path, few_digits, config)
    log = capsys.readouterr().out
    rows = list(csv.DictReader((tmp_path / "data" / "sweep.csv").read_text().splitlines()))
    assert len(rows) == 8
    accuracies = [float(row["validation:accuracy"]) for row in rows]
    assert accuracies == sorted(accuracies, reverse=True)
    best = bundle.load(tmp_path / "model").description
    hyperparameters = best.training["hyperparameters"]
    assert isinstance(hyperparameters, dict)
    assert hyperparameters["learning_rate"] == 0.05
    assert hyperparameters["sweep"] == ""
    assert best.metrics["validation:accuracy"] == accuracies[0]
    # Only the winner's epochs, and the best of them once more.
    assert log.count("[metric] validation:accuracy=") == 3
    assert "test accuracy" in log


def test_a_sweep_can_be_stopped(weights: Path, few_digits: Path, tmp_path: Path) -> None:
    stop = Stop()
    stop.requested = True
    with pytest.raises(Interrupted):
        head_jobs.train(
            tmp_path, few_digits, head_jobs.config(weights, sweep='{"epochs": [1]}'), stop
        )
    assert not (tmp_path / "model" / bundle.DESCRIPTION).exists()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"sweep": '{"learning_rate": [0.1]}', "trainable": "all"}, "trainable is all: set"),
        ({"sweep": '{"learning_rate": [0.1]}', "mixup": 0.2}, "cannot be combined with mixup"),
        ({"sweep": '{"learning_rate": [0.1]}', "feature_views": 0}, "feature_views is 0: unset"),
        ({"sweep": "{"}, "sweep: not JSON"),
        ({"sweep": '{"learning_rate": 0.1}'}, "sweep: give lists by hyperparameter"),
        ({"sweep": '{"seed": [1, 2]}'}, "seed cannot be swept, only learning_rate"),
        ({"sweep": json.dumps({"epochs": list(range(1, 258))})}, "257 trials, but one job takes"),
        ({"sweep": '{"epochs": [2, 0]}'}, r"greater than or equal to 1 \(a trial with epochs 0\)"),
        ({"sweep": '{"epochs": [1]}', "warmup_epochs": 2}, "warmup_epochs 2 must be less"),
    ],
)
def test_an_impossible_sweep_is_refused(given: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        from_hyperparameters(given)
