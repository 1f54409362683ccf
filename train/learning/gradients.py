"""A batch's gradients, computed in one pass through the network or in several smaller ones.

Several passes take less memory and give the same gradients: the loss of each part counts by its
share of the whole batch, over all parts and processes.
"""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from debugger.records import BACKWARD, FORWARD
from train.learning import parallel
from train.recording.hooks import Step


@dataclass(frozen=True)
class Gradients:
    """How gradients are computed.

    Attributes:
        model: is trained.
        criterion: its mean is over pictures, or over class weights.
        scaler: scales the loss for float16's gradients.
        autocast: of the forward pass.
        parts: passes that a batch is divided into.
        world_size: training processes.
    """

    model: nn.Module
    criterion: nn.CrossEntropyLoss
    scaler: torch.amp.GradScaler
    autocast: AbstractContextManager[object]
    parts: int = 1
    world_size: int = 1

    def accumulate(
        self, step: Step, images: torch.Tensor, targets: torch.Tensor, labels: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Add the gradients of the batch's mean loss, scaled, to those of the parameters.

        Averaged over the processes, they are the gradients of the mean over all their pictures.
        Batch norm's statistics are of each part alone. With one process, a part holds at least two
        pictures. Several processes divide their batches into equally many parts; some can be empty.

        Args:
            step: the current step.
            images: of this process, [B, 3, H, W], or features [B, F]; B can be 0.
            targets: classes int64 [B], or their shares [B, C].
            labels: classes int64 [B].

        Returns:
            the answers int64 [B], and float64 [3], the step's figures over all processes: summed
            loss, right answers, pictures.
        """
        count, parts = len(labels), self.parts
        if self.world_size == 1:
            parts = min(parts, max(1, count // 2))
        split = images.tensor_split(parts), targets.tensor_split(parts)
        weights = [target_weight(self.criterion, part) for part in split[1]]
        own = torch.stack(weights).sum()
        total = parallel.total(own)
        loss, answers = torch.zeros_like(total), []
        for number, (some, wanted) in enumerate(zip(*split, strict=True)):
            with self._exchange(last=number == parts - 1):
                with step.phase(FORWARD), self.autocast:
                    logits = self.model(some).float()
                    mean = self.criterion(logits, wanted) if len(some) else logits.sum() * 0
                    share = weights[number] / total
                    scaled = mean * (share * self.world_size).to(mean.dtype)
                with step.phase(BACKWARD):
                    self.scaler.scale(scaled).backward()
            loss += mean.detach() * weights[number] / own.clamp(min=1e-12)
            answers.append(logits.detach().argmax(1))
        together = torch.cat(answers)
        right = (together == labels).sum()
        return together, parallel.figures(loss, own, right, count)

    def _exchange(self, *, last: bool) -> AbstractContextManager[None]:
        """Let the processes exchange gradients once, with the last part."""
        if last or not isinstance(self.model, DistributedDataParallel):
            return nullcontext()
        waiting: AbstractContextManager[None] = self.model.no_sync()
        return waiting


def target_weight(criterion: nn.CrossEntropyLoss, targets: torch.Tensor) -> torch.Tensor:
    """Return the divisor of the criterion's mean: the number of targets, or their class weights."""
    if criterion.weight is None or targets.ndim > 1:
        return torch.full((), float(len(targets)), device=targets.device)
    return criterion.weight[targets].sum()
