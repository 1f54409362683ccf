"""SageMaker's training contract as one story: /opt/ml, `train` as a process, model and metrics."""

import json
import re
from pathlib import Path

import pytest

from classifier import bundle
from tests.opt_ml import OptMl
from train.metrics import definitions

SMALL: dict[str, object] = {
    **{"architecture": "mobilenet_v3_small", "weights": "none", "trainable": "all"},
    **{
        "image_size": 32,
        "epochs": 2,
        "batch_size": 32,
        "learning_rate": 0.01,
        "workers": 0,
        "export": "none",
    },
    **{"debugger": False, "profiler": False},
}


@pytest.fixture(scope="module")
def finished(few_digits: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[OptMl, str]:
    job = OptMl.lay_out(tmp_path_factory.mktemp("job"), {"digits": few_digits}, SMALL)
    code, log = job.run()
    assert code == 0, log
    return job, log


def test_a_job_writes_a_bundle_that_replays(finished: tuple[OptMl, str]) -> None:
    job, _ = finished
    loaded = bundle.load(job.model)
    assert loaded.description.classes == tuple("0123456789")
    assert loaded.description.transform.crop == 32
    assert loaded.description.training["finished"] is True
    assert len(loaded.golden.photos) == 4
    assert bundle.replay(loaded) < 1e-6
    assert (job.root / "output" / "success").exists()


def test_every_metric_is_in_the_log(finished: tuple[OptMl, str]) -> None:
    job, log = finished
    metrics = json.loads((job.root / "output" / "data" / "metrics.json").read_text())
    for item in definitions():
        values = [float(text) for text in re.findall(item["Regex"], log)]
        # The best epoch's figures come once more at the end.
        assert len(values) == (1 if item["Name"].startswith("test:") else 3), item["Name"]
    accuracy = [epoch["validation:accuracy"] for epoch in metrics["history"]]
    assert [*accuracy, accuracy[metrics["best_epoch"] - 1]] == pytest.approx(
        [float(v) for v in re.findall(r"validation:accuracy=(\S+)", log)]
    )


def test_the_confusion_matrix_adds_up_to_the_test_metrics(finished: tuple[OptMl, str]) -> None:
    job, _ = finished
    out = job.root / "output" / "data"
    metrics = json.loads((out / "metrics.json").read_text())
    rows = [line.split(",") for line in (out / "confusion.csv").read_text().splitlines()]
    counts = [[int(cell) for cell in row[1:]] for row in rows[1:]]
    total = sum(map(sum, counts))
    assert total == metrics["test"]["pictures"] == 30
    right = sum(counts[i][i] for i in range(10))
    assert metrics["test"]["test:accuracy"] == pytest.approx(right / total)
    assert [entry["class"] for entry in metrics["classes"]] == list("0123456789")


def test_all_wrong_hyperparameters_are_in_the_failure_file(
    few_digits: Path, tmp_path: Path
) -> None:
    job = OptMl.lay_out(tmp_path, {"train": few_digits}, {"epoch": 3, "batch_size": "many"})
    code, log = job.run()
    assert code == 1, log
    assert not (job.model / bundle.DESCRIPTION).exists()
    reason = job.failure
    assert reason.startswith("ConfigError: hyperparameters that cannot be used")
    assert "epoch: no such hyperparameter (did you mean epochs?)" in reason
    assert "batch_size: Input should be a valid integer" in reason
    assert "Traceback (most recent call last)" in reason
