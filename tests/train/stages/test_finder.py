"""A trial run finds the learning rate."""

import csv
import json
from pathlib import Path

import pytest
import torch

from classifier import bundle
from tests.train import head_jobs
from train.platform.stop import Interrupted


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return head_jobs.backbone(tmp_path_factory.mktemp("weights"))


@pytest.mark.slow
def test_the_rate_found_depends_neither_on_the_given_rate_nor_on_restarts(
    weights: Path, few_digits: Path, tmp_path: Path
) -> None:
    """The given rates cannot train; job c is stopped in the trial run and in training."""
    found = []
    for name, given, stops in (("a", 1e-5, []), ("b", 5.0, []), ("c", 5.0, [8, 30])):
        settings = head_jobs.config(
            weights, find_learning_rate=True, learning_rate=given, backbone_learning_rate=given / 10
        )
        for checks in stops:
            with pytest.raises(Interrupted):
                head_jobs.train(tmp_path / name, few_digits, settings, head_jobs.StopAfter(checks))
        head_jobs.train(tmp_path / name, few_digits, settings)
        metrics = json.loads((tmp_path / name / "data" / "metrics.json").read_text())
        found.append(metrics["learning_rate"])
        assert metrics["history"][-1]["train:loss"] < metrics["history"][0]["train:loss"]
    assert found[0] == pytest.approx(found[1], rel=1e-6)
    assert found[1] == found[2]
    assert 1e-4 < found[0] < 1.0
    rows = list(
        csv.DictReader((tmp_path / "a" / "data" / "learning_rate.csv").read_text().splitlines())
    )
    lowest = min(rows, key=lambda row: float(row["loss"]))
    assert float(lowest["learning_rate"]) / 10 == pytest.approx(found[0])
    unbroken, resumed = (
        bundle.load(tmp_path / name / "model").network.state_dict() for name in "bc"
    )
    assert all(torch.equal(unbroken[name], resumed[name]) for name in unbroken)


def test_without_a_gpu_the_batch_size_stays_as_given(
    weights: Path, few_digits: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    head_jobs.train(tmp_path, few_digits, head_jobs.config(weights, epochs=1, fit_batch_size=True))
    assert "batch_size 32: there is no GPU to fit it to" in capsys.readouterr().out
    assert json.loads((tmp_path / "data" / "metrics.json").read_text())["batch_size"] == 32
