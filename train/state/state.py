"""Everything that changes while training: taken into a checkpoint and put back from it.

There is no random state in it: every random draw is made from (seed, epoch, step) alone.
"""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

from classifier.calibration import fit_novelty, fit_temperature
from train.config import ConfigError, TrainConfig
from train.learning import frozen
from train.learning.evaluate import Scores

# Hyperparameters that may change between the checkpoint and the run that goes on from it.
_FREE = {"workers", "checkpoint_minutes", "max_unreadable", "cache_gib"} | {
    name for name in TrainConfig.model_fields if name.startswith(("debugger", "profiler"))
}


@dataclass
class Best:
    """The best epoch so far by validation accuracy, the lower loss where accuracy is alike."""

    epoch: int
    accuracy: float
    loss: float
    weights: dict[str, torch.Tensor]  # of what is trained, as the state dict has it, on the CPU
    temperature: float = 1.0  # as in the bundle, and the quantiles of its novelty
    energies: list[float] | None = None

    def calibrate(self, scores: Scores) -> None:
        """Fit what the bundle says of probabilities and strange pictures, on validation logits.

        The temperature stays 1 where every answer was right: none would fit better than 0.
        """
        if scores.logits is None or scores.labels is None:
            return
        if (scores.logits.argmax(1) != scores.labels).any():
            self.temperature = fit_temperature(scores.logits, scores.labels)
        self.energies = list(fit_novelty(scores.logits).quantiles)


@dataclass
class TrainState:
    """A training run between two steps.

    `step` counts steps of the whole run, `batch` those of the current epoch; `sums` are float64
    [3]: the epoch's summed loss, right answers, pictures, kept on the device.
    """

    network: nn.Module
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    sums: torch.Tensor
    ema: AveragedModel | None = None
    epoch: int = 0
    batch: int = 0
    step: int = 0
    stale: int = 0  # epochs since the best
    rate: float = 0.0  # training pictures a second in the epoch just done
    best: Best | None = None
    history: list[dict[str, float]] = field(default_factory=list)
    changing: set[str] = field(init=False)  # names in the state dict
    backbone: str = field(init=False)  # digest of all else

    def __post_init__(self) -> None:
        self.changing = frozen.changing(self.network)
        self.backbone = frozen.digest(self.network)

    @property
    def result(self) -> nn.Module:
        """The network that counts: the averaged one where there is one."""
        if self.ema is None:
            return self.network
        module: nn.Module = self.ema.module
        return module

    def take(self, scores: Scores) -> bool:
        """Note an epoch's validation scores; return whether they are the best."""
        rank = (scores.accuracy, -scores.loss)
        better = self.best is None or rank > (self.best.accuracy, -self.best.loss)
        if better:
            weights = {
                name: value.detach().to("cpu", copy=True)
                for name, value in self.result.state_dict().items()
                if name in self.changing
            }
            self.best = Best(self.epoch, scores.accuracy, scores.loss, weights)
            self.best.calibrate(scores)
        self.stale = 0 if better else self.stale + 1
        return better

    def to_checkpoint(self, config: TrainConfig, folders: tuple[str, ...]) -> dict[str, Any]:
        """Return the state as dicts, lists, tensors and numbers."""
        return {
            "config": config.model_dump(),
            "folders": list(folders),
            "backbone": self.backbone,
            "network": self._trained(self.network.state_dict()),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            "ema": self._trained(self.ema.state_dict()) if self.ema else None,
            "sums": self.sums,
            "counters": {name: getattr(self, name) for name in ("epoch", "batch", "step", "stale")},
            "best": vars(self.best) if self.best else None,
            "history": self.history,
        }

    def _trained(self, contents: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Return a state dict without what is frozen, which the pretrained weights bring back."""
        still = self.network.state_dict().keys() - self.changing
        return {
            name: value
            for name, value in contents.items()
            if name.removeprefix("module.") not in still
        }

    def restore(
        self, checkpoint: dict[str, Any], config: TrainConfig, folders: tuple[str, ...]
    ) -> None:
        """Put a checkpoint's state back.

        Raises:
            ConfigError: it belongs to a run with other hyperparameters or classes.
        """
        then, now = checkpoint["config"], config.model_dump()
        differing = [
            f"{name} was {then.get(name)!r}, is {value!r}"
            for name, value in now.items()
            if name not in _FREE and then.get(name) != value
        ]
        if checkpoint["folders"] != list(folders):
            differing.append("the classes differ")
        if checkpoint["backbone"] != self.backbone:
            differing.append("the pretrained weights differ")
        if differing:
            raise ConfigError(
                "the checkpoint folder holds another run's checkpoint "
                f"({'; '.join(differing)}): use a folder of this job's own, or empty it"
            )
        self.network.load_state_dict(checkpoint["network"], strict=False)
        self.optimizer.load_state_dict(checkpoint["optimizer"])
        self._lay_out_optimizer()
        self.scaler.load_state_dict(checkpoint["scaler"])
        if self.ema:
            self.ema.load_state_dict(checkpoint["ema"], strict=False)
        self.sums.copy_(checkpoint["sums"])
        for name, value in checkpoint["counters"].items():
            setattr(self, name, value)
        self.best = Best(**checkpoint["best"]) if checkpoint["best"] else None
        self.history = checkpoint["history"]

    def _lay_out_optimizer(self) -> None:
        """Lay what the optimizer keeps of each weight as the weight lies in memory.

        Checkpoints are contiguous and convolutions' weights channels last; torch's fused optimizers
        on a CPU walk along memory and would take each number for another's.
        """
        for weight, kept in self.optimizer.state.items():
            for name, value in kept.items():
                if isinstance(value, torch.Tensor) and value.shape == weight.shape:
                    kept[name] = torch.empty_like(weight, dtype=value.dtype).copy_(value)
