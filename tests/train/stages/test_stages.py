"""The head first, then everything: two stages in one job, stopped anywhere and gone on with."""

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
    told = {"trainable": "layer4", "epochs": 4, "head_epochs": 2, "batch_size": 64}
    return head_jobs.config(weights, **(told | settings))


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


def test_the_first_stage_is_a_job_that_trains_the_head(
    weights: Path, few_digits: Path, tmp_path: Path, unbroken: Path
) -> None:
    head = config(weights, trainable="head", epochs=2, head_epochs=0)
    head_jobs.train(tmp_path, few_digits, head)
    for one, other in zip(history(unbroken), history(tmp_path), strict=False):
        for name in ("train:loss", "validation:loss", "train:learning_rate"):
            assert one[name] == pytest.approx(other[name], rel=1e-6)


def test_the_second_stage_trains_more_with_a_schedule_of_its_own(
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


@pytest.mark.parametrize("looks", [9, 17, 24, 29])
def test_a_stop_anywhere_ends_with_the_same_bits(
    looks: int, weights: Path, few_digits: Path, tmp_path: Path, unbroken: Path
) -> None:
    with pytest.raises(Interrupted):
        head_jobs.train(tmp_path, few_digits, config(weights), head_jobs.StopAfter(looks))
    head_jobs.train(tmp_path, few_digits, config(weights))
    one, other = (bundle.load(root / "model").network.state_dict() for root in (unbroken, tmp_path))
    assert all(torch.equal(one[name], other[name]) for name in one)


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
def test_stages_that_make_no_sense_are_refused(given: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        from_hyperparameters(given)
