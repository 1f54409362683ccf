"""Gradient accumulation gives the gradients and metrics of the whole batch."""

from pathlib import Path

import pytest
import torch
from torch import nn

from debugger.records import STEP_PHASES, Start, Step, Tensors
from tests.train.recorded import Recorded
from train.config import ConfigError, from_hyperparameters
from train.learning.gradients import target_weight
from train.stages.stage import compile_network


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("mixed", [False, True])
def test_the_weighted_losses_of_parts_add_up_to_the_loss_of_the_batch(
    weighted: bool, mixed: bool
) -> None:
    draw = torch.Generator().manual_seed(0)
    by_class = torch.rand(5, generator=draw) if weighted else None
    criterion = nn.CrossEntropyLoss(by_class, label_smoothing=0.1)
    logits = torch.randn(11, 5, generator=draw)
    targets = torch.randint(5, (11,), generator=draw)
    if mixed:
        targets = torch.rand(11, 5, generator=draw).softmax(1)
    parts = zip(logits.tensor_split(4), targets.tensor_split(4), strict=True)
    summed = sum(
        criterion(some, wanted) * target_weight(criterion, wanted) for some, wanted in parts
    )
    torch.testing.assert_close(
        summed / target_weight(criterion, targets), criterion(logits, targets)
    )


@pytest.mark.parametrize(
    "settings",
    [
        {"class_weights": "balanced", "clip_gradient_norm": 1.0, "label_smoothing": 0.1},
        {"mixup": 0.2, "ema": 0.5, "optimizer": "adamw", "learning_rate": 1e-3},
    ],
    ids=["weighted", "mixed"],
)
def test_training_in_parts_gives_the_weights_of_training_at_once(
    settings: dict[str, object], few_digits: Path, tmp_path: Path
) -> None:
    """Without trained batch norm and dropout, only the last bits differ."""
    fixed = {"architecture": "shufflenet_v2_x0_5", "freeze_batch_norm": True, "precision": "fp32"}
    quiet = {"debugger": False, "profiler": False, "epochs": 1}
    once, parts = (
        Recorded.lay_out(
            tmp_path / str(n), few_digits, **fixed, **quiet, **settings, accumulate=n
        ).run()
        for n in (1, 5)
    )
    weights = once.weights
    for name, value in parts.weights.items():
        torch.testing.assert_close(value, weights[name], rtol=1e-3, atol=1e-5, msg=name)


def test_a_step_in_parts_is_recorded_as_one_step(few_digits: Path, tmp_path: Path) -> None:
    given = {"accumulate": 4, "debugger_interval": 1, "epochs": 1}
    job = Recorded.lay_out(tmp_path, few_digits, **given).run()
    steps = [step for step in job.records(Step) if step.mode == "train"]
    assert [step.step for step in steps] == list(range(5))
    assert sum(step.size for step in steps) == 140
    for step in steps:
        wait, copy, forward, backward, last = STEP_PHASES
        assert [span.name for span in step.spans if span.name in STEP_PHASES] == [
            *(wait, copy, *(forward, backward) * 4, last)
        ]
    activations = [one for one in job.records(Tensors) if one.collection == "activations"]
    assert [one.step for one in activations] == list(range(5))
    layers = {name.partition(":")[0] for name in activations[0].values}
    assert layers <= set(job.records(Start)[0].facts["layers"])


def test_parts_of_fewer_than_two_pictures_are_refused() -> None:
    with pytest.raises(ConfigError, match="at most half of batch_size 8"):
        from_hyperparameters({"batch_size": "8", "accumulate": "5"})


def test_compiling_without_a_compiler_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError, match="compile=true needs a C\\+\\+ compiler"):
        compile_network(nn.Linear(2, 2))
