"""How good a network is on a set of pictures: loss, top-1, top-5, and each class."""

from collections.abc import Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import nn

from debugger.records import COPY, FORWARD
from train.batches.batch import Batch, Unreadable
from train.recording.hooks import Hooks


@dataclass(frozen=True)
class Scores:
    """Measured on `count` pictures.

    `confusion` is int64 [classes, classes]: rows are the true class, columns the answer. `logits`
    float32 [N, classes] and `labels` int64 [N] are a sample for calibration, on the CPU.
    """

    loss: float
    accuracy: float
    top5_accuracy: float
    count: int
    confusion: torch.Tensor
    logits: torch.Tensor | None = None
    labels: torch.Tensor | None = None

    @property
    def precision(self) -> torch.Tensor:
        """The share of right answers among those for each class; 0 if there are none."""
        return self._right / self.confusion.sum(0).clamp(min=1)

    @property
    def recall(self) -> torch.Tensor:
        """The share of each class's pictures that was recognised; 0 if there are none."""
        return self._right / self.confusion.sum(1).clamp(min=1)

    @property
    def macro_f1(self) -> float:
        """F1 averaged over the classes that have pictures."""
        both = (self.confusion.sum(0) + self.confusion.sum(1)).clamp(min=1)
        present = self.confusion.sum(1) > 0
        return (2 * self._right / both)[present].mean().item() if present.any() else 0.0

    @property
    def _right(self) -> torch.Tensor:
        return self.confusion.diagonal().float()

    def metrics(self, split: str) -> dict[str, float]:
        """Return the scores under their metric names."""
        return {
            f"{split}:loss": self.loss,
            f"{split}:accuracy": self.accuracy,
            f"{split}:top5_accuracy": self.top5_accuracy,
            f"{split}:macro_f1": self.macro_f1,
        }


def evaluate(
    network: nn.Module,
    batches: Iterable[Batch],
    classes: int,
    device: torch.device,
    autocast: AbstractContextManager[object],
    unreadable: Unreadable,
    hooks: Hooks,
    sample_every: int = 0,
) -> Scores:
    """Measure a network. Each of several processes measures its share, and all get the sum.

    The logits of every `sample_every`th picture of a process are returned for calibration; none if
    it is 0.

    Raises:
        DataError: too many pictures cannot be read.
    """
    network.eval()
    confusion = torch.zeros(classes * classes, dtype=torch.long, device=device)
    sums = torch.zeros(2, dtype=torch.float64, device=device)  # loss, right among five
    samples: list[tuple[torch.Tensor, torch.Tensor]] = []
    with torch.inference_mode():
        for step, batch in hooks.steps("eval", batches):
            unreadable.add(batch.unreadable, batch.remarks)
            if not len(batch.labels):
                continue
            with step.phase(COPY):
                images = batch.images_on(device)
                labels = batch.labels.to(device, non_blocking=True)
            with step.phase(FORWARD), autocast:
                logits = network(images).float()
            step.answers(batch, logits)
            if sample_every:
                samples.append((logits[::sample_every], labels[::sample_every]))
            five = logits.topk(min(5, classes)).indices
            sums[0] += F.cross_entropy(logits, labels, reduction="sum")
            sums[1] += (five == labels[:, None]).sum()
            confusion += torch.bincount(
                labels * classes + logits.argmax(1), minlength=classes * classes
            )
    if dist.is_initialized():
        dist.all_reduce(confusion)
        dist.all_reduce(sums)
    table = confusion.view(classes, classes).cpu()
    count = int(table.sum())
    loss, top5 = (sums / max(1, count)).tolist()
    accuracy = table.diagonal().sum().item() / max(1, count)
    if not samples:
        return Scores(loss, accuracy, top5, count, table)
    rows, answers = (torch.cat(parts).cpu() for parts in zip(*samples, strict=True))
    return Scores(loss, accuracy, top5, count, table, rows, answers)
