"""The loss that training minimises."""

from collections.abc import Sequence

import torch
from torch import nn

from pictures.picture import Picture
from train.config import TrainConfig


def build_criterion(
    config: TrainConfig, pictures: Sequence[Picture], classes: int, device: torch.device
) -> nn.CrossEntropyLoss:
    """Return the cross-entropy with the job's label smoothing and class weights."""
    balanced = config.class_weights == "balanced"
    weight = class_weights(pictures, classes).to(device) if balanced else None
    return nn.CrossEntropyLoss(weight=weight, label_smoothing=config.label_smoothing)


def class_weights(pictures: Sequence[Picture], classes: int) -> torch.Tensor:
    """Return float32 [classes]: inverse frequency, 1 on average over the pictures."""
    counts = torch.bincount(torch.tensor([one.label for one in pictures]), minlength=classes)
    return len(pictures) / (len(counts) * counts)
