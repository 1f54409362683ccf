"""Two stages in one job, first the head and then more; a stopped job resumes in either."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from classifier import bundle
from tests.train import head_jobs
from train.config import ConfigError, TrainConfig, from_hyperparameters
from train.platform.stop import Interrupted
from train.state import checkpoint


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return head_jobs.backbone(tmp_path_factory.mktemp("weights"))


def config(weights: Path, **settings: object) -> TrainConfig:
    given = {"trainable": "layer4", "epochs": 4, "head_epochs": 2, "batch_size": 64}
    return head_jobs.config(weights, **(given | settings))


def history(root: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((root / "data" / "metrics.json").read_text())[
        "history"
    ]
    return found


@pytest.fixture(scope="module")
def unbroken(weights: Path, few_digits: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("job")
    head_jobs.train(root, few_digits, config(weights))
    return root


def test_the_first_stage_equals_a_job_that_trains_the_head(
    weights: Path, few_digits: Path, tmp_path: Path, unbroken: Path
) -> None:
    head = config(weights, trainable="head", epochs=2, head_epochs=0)
    head_jobs.train(tmp_path, few_digits, head)
    for staged, alone in zip(history(unbroken), history(tmp_path), strict=False):
        for name in ("train:loss", "validation:loss", "train:learning_rate"):
            assert staged[name] == pytest.approx(alone[name], rel=1e-6)


def test_the_second_stage_trains_more_layers_with_its_own_schedule(
    weights: Path, unbroken: Path
) -> None:
    rates = [epoch["train:learning_rate"] for epoch in history(unbroken)]
    assert rates[:2] == rates[2:]
    found = checkpoint.load_newest(unbroken / "checkpoints")
    assert found
    last, first = found[0]["network"], torch.load(weights, weights_only=True)
    assert not torch.equal(last["layer4.1.conv2.weight"], first["layer4.1.conv2.weight"])
    assert "layer3.1.conv2.weight" not in last
    state = bundle.load(unbroken / "model").network.state_dict()
    assert torch.equal(state["layer3.1.conv2.weight"], first["layer3.1.conv2.weight"])


@pytest.mark.parametrize(
    "checks", [17, *(pytest.param(checks, marks=pytest.mark.slow) for checks in (9, 24, 29))]
)
def test_a_job_stopped_anywhere_resumes_to_the_same_weights(
    checks: int, weights: Path, few_digits: Path, tmp_path: Path, unbroken: Path
) -> None:
    with pytest.raises(Interrupted):
        head_jobs.train(tmp_path, few_digits, config(weights), head_jobs.StopAfter(checks))
    head_jobs.train(tmp_path, few_digits, config(weights))
    expected, resumed = (
        bundle.load(root / "model").network.state_dict() for root in (unbroken, tmp_path)
    )
    assert all(torch.equal(expected[name], resumed[name]) for name in expected)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"head_epochs": 1}, "trainable is head: set trainable=all"),
        ({"head_epochs": 3, "trainable": "all"}, "head_epochs 3 must be less than epochs 3"),
        (
            {"head_epochs": 1, "trainable": "all", "warmup_epochs": 1},
            "warmup_epochs 1 must be less than the epochs of each stage: 1 of the head, then 2",
        ),
    ],
)
def test_impossible_stages_are_refused(given: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        from_hyperparameters(given)
