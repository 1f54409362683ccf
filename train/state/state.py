"""Everything that changes while training: saved in a checkpoint and restored from it.

It holds no random state: every random number comes from (seed, epoch, step) alone.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

from classifier.calibration import fit_novelty, fit_temperature
from train.config import ConfigError, TrainConfig
from train.learning import frozen
from train.learning.evaluate import Scores

# Hyperparameters that can differ between a checkpoint and the run that resumes from it.
_FREE = {
    "workers",
    "checkpoint_minutes",
    "max_unreadable",
    "cache_gib",
    "changed_data",
    "export",
} | {name for name in TrainConfig.model_fields if name.startswith(("debugger", "profiler"))}


def differences(checkpoint: Mapping[str, Any], config: TrainConfig) -> list[str]:
    """Return in which hyperparameters a checkpoint's run differs, with both values."""
    then, now = checkpoint["config"], config.model_dump()
    free = _FREE | ({"batch_size"} if config.fit_batch_size else set())  # it takes the found one
    return [
        f"{name} was {then.get(name)!r}, is {value!r}"
        for name, value in now.items()
        if name not in free and then.get(name) != value
    ]


def check_same_run(differing: Sequence[str]) -> None:
    """Raise ConfigError if a run differs in something from that of the checkpoint folder."""
    if differing:
        raise ConfigError(
            "the checkpoint folder holds another run's checkpoint "
            f"({'; '.join(differing)}): give this job a folder of its own, or empty it"
        )


@dataclass
class Best:
    """The best epoch so far: its scores, its weights, and what the bundle needs to calibrate."""

    epoch: int
    accuracy: float
    loss: float
    weights: dict[str, torch.Tensor]  # of the trained part, named as in the state dict, on the CPU
    temperature: float = 1.0  # as in the bundle, and so are the quantiles of its novelty
    energies: list[float] | None = None

    def calibrate(self, scores: Scores) -> None:
        """Fit the bundle's temperature and novelty to validation logits.

        The temperature stays 1 if every answer was right, because the best fit would then be 0.
        """
        if scores.logits is None or scores.labels is None:
            return
        if (scores.logits.argmax(1) != scores.labels).any():
            self.temperature = fit_temperature(scores.logits.cpu(), scores.labels.cpu())
        self.energies = list(fit_novelty(scores.logits.cpu()).quantiles)


@dataclass
class Selection:
    """The best epoch by validation accuracy, then by lower loss, and the epochs since."""

    best: Best | None = None
    stale: int = 0

    def update(self, epoch: int, scores: Scores, weights: Mapping[str, torch.Tensor]) -> None:
        """Compare an epoch's validation scores; copy the weights if they are the best."""
        best = self.best
        rank = (scores.accuracy, -scores.loss)
        if best is not None and rank <= (best.accuracy, -best.loss):
            self.stale += 1
            return
        copied = {name: value.detach().to("cpu", copy=True) for name, value in weights.items()}
        self.best = Best(epoch, scores.accuracy, scores.loss, copied)
        self.best.calibrate(scores)
        self.stale = 0


@dataclass
class TrainState:
    """A training run between two steps.

    `step` counts the steps of the whole run, `batch` those of the current epoch. `sums` are float64
    [3] on the device: the epoch's summed loss, right answers, pictures.
    """

    network: nn.Module
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    sums: torch.Tensor
    ema: AveragedModel | None = None
    epoch: int = 0
    batch: int = 0
    step: int = 0
    seconds: float = 0.0  # of training in the current epoch, over all starts of the job
    selection: Selection = field(default_factory=Selection)
    history: list[dict[str, float]] = field(default_factory=list)
    changing: set[str] = field(init=False)  # names in the state dict
    backbone: str = field(init=False)  # digest of the rest

    def __post_init__(self) -> None:
        self.changing = frozen.changing(self.network)
        self.backbone = frozen.digest(self.network)

    @property
    def result(self) -> nn.Module:
        """The network to evaluate: the averaged one if there is one."""
        if self.ema is None:
            return self.network
        module: nn.Module = self.ema.module
        return module

    @property
    def lost(self) -> bool:
        """Whether a loss of the last epoch is not a number any more."""
        names = ("train:loss", "validation:loss")
        return bool(self.history) and not all(math.isfinite(self.history[-1][n]) for n in names)

    def select(self, scores: Scores) -> None:
        """Compare the current epoch with the best so far, by its validation scores."""
        weights = self.result.state_dict()
        trained = {name: value for name, value in weights.items() if name in self.changing}
        self.selection.update(self.epoch, scores, trained)

    def to_checkpoint(self, config: TrainConfig, data: Mapping[str, Any]) -> dict[str, Any]:
        """Return the state as dicts, lists, tensors and numbers.

        Args:
            config: of the run.
            data: which pictures it trains on, from `resume.describe`.
        """
        return {
            "config": config.model_dump(),
            "data": dict(data),
            "backbone": self.backbone,
            "network": self._trained(self.network.state_dict()),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            "ema": self._trained(self.ema.state_dict()) if self.ema else None,
            "sums": self.sums,
            "counters": {
                "epoch": self.epoch,
                "batch": self.batch,
                "step": self.step,
                "seconds": self.seconds,
                "stale": self.selection.stale,
            },
            "best": vars(self.selection.best) if self.selection.best else None,
            "history": self.history,
        }

    def _trained(self, contents: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Return a state dict without the frozen part, which the pretrained weights restore."""
        unchanged = self.network.state_dict().keys() - self.changing
        return {
            name: value
            for name, value in contents.items()
            if name.removeprefix("module.") not in unchanged
        }

    def restore(self, checkpoint: dict[str, Any], config: TrainConfig) -> None:
        """Restore a checkpoint's state.

        Raises:
            ConfigError: it belongs to a run with other hyperparameters or pretrained weights.
        """
        differing = differences(checkpoint, config)
        if checkpoint["backbone"] != self.backbone:
            differing.append("the pretrained weights differ")
        check_same_run(differing)
        self.network.load_state_dict(checkpoint["network"], strict=False)
        self.optimizer.load_state_dict(checkpoint["optimizer"])
        self._match_optimizer_layout()
        self.scaler.load_state_dict(checkpoint["scaler"])
        if self.ema:
            self.ema.load_state_dict(checkpoint["ema"], strict=False)
        self.sums.copy_(checkpoint["sums"])
        counters = checkpoint["counters"]
        self.epoch, self.batch, self.step = (counters[name] for name in ("epoch", "batch", "step"))
        self.seconds = counters["seconds"]
        best = Best(**checkpoint["best"]) if checkpoint["best"] else None
        self.selection = Selection(best, counters["stale"])
        self.history = checkpoint["history"]

    def _match_optimizer_layout(self) -> None:
        """Give the optimizer's state of each weight the memory layout of the weight.

        Checkpoints are contiguous, weights of convolutions are channels last, and torch's fused
        optimizers on a CPU read both in memory order: they would mix up the numbers.
        """
        for weight, state in self.optimizer.state.items():
            for name, value in state.items():
                if isinstance(value, torch.Tensor) and value.shape == weight.shape:
                    state[name] = torch.empty_like(weight, dtype=value.dtype).copy_(value)
