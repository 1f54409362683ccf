"""A batch's gradients, computed in one pass through the network or in several smaller ones.

Several passes take less memory and give the same gradients: the loss of each part counts by its
share of the whole batch, over all parts and processes.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from debugger.records import BACKWARD, FORWARD
from train.learning import parallel
from train.recording.hooks import Step

SMALL = 16  # pictures: in such a batch all but one can be unreadable


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
        rank: of this process.
    """

    model: nn.Module
    criterion: nn.CrossEntropyLoss
    scaler: torch.amp.GradScaler
    autocast: AbstractContextManager[object]
    parts: int = 1
    world_size: int = 1
    rank: int = 0

    def accumulate(
        self,
        step: Step,
        images: torch.Tensor,
        targets: torch.Tensor,
        labels: torch.Tensor,
        shares: Sequence[int] = (),
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Add the gradients of the batch's mean loss, scaled, to those of the parameters.

        Averaged over the processes, they are the gradients of the mean over all their pictures.
        Batch norm's statistics are of each part alone, so a part has at least two pictures over all
        processes. Every process has the same number of parts; some of its own can be empty.

        Args:
            step: the current step.
            images: of this process, [B, 3, H, W], or features [B, F]; B can be 0.
            targets: classes int64 [B], or their shares [B, C].
            labels: classes int64 [B] of the right answers.
            shares: the pictures of the batch in each process, if there are several.

        Returns:
            the answers int64 [B], and float64 [3], the step's figures over all processes: summed
            loss, right answers, pictures.
        """
        count = len(labels)
        counts = shares if self.world_size > 1 else (count,)
        sizes = part_sizes(count, self.parts, counts, self.rank)
        parts = len(sizes)
        split = torch.split(images, sizes), torch.split(targets, sizes)
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


def enough(count: int, shares: Sequence[int]) -> bool:
    """Whether a batch has the two pictures that batch norm needs, over all processes.

    Batches of more than SMALL pictures are believed to: to ask costs a wait for all processes.

    Args:
        count: pictures of this process that could be read.
        shares: the pictures of the batch in each process.
    """
    if len(shares) > 1:
        return sum(shares) > SMALL or sum(parallel.all_gather(count)) > 1
    return count > 1


def part_sizes(count: int, most: int, shares: Sequence[int], rank: int) -> list[int]:
    """Return the pictures in each part of a process's share of a batch.

    There are so few parts that each has at least two pictures over all processes. The processes
    give their odd pictures to different parts, so that the parts differ by one picture at most.

    Args:
        count: pictures of this process; fewer than in `shares` if some could not be read.
        most: the number of parts if the batch is large enough.
        shares: pictures of each process.
        rank: of this process.
    """
    parts = min(most, max(1, sum(shares) // 2))
    first = sum(share % parts for share in shares[:rank])
    extra = {(first + n) % parts for n in range(count % parts)}
    return [count // parts + (part in extra) for part in range(parts)]


def target_weight(criterion: nn.CrossEntropyLoss, targets: torch.Tensor) -> torch.Tensor:
    """Return the divisor of the criterion's mean: the number of targets, or their class weights."""
    if criterion.weight is None or targets.ndim > 1:
        return torch.full((), float(len(targets)), device=targets.device)
    return criterion.weight[targets].sum()
