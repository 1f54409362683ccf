"""A batch's gradients, taken in one pass through the network or in several smaller ones.

Several take less memory, and give the gradients of one: each part's loss counts by its share of the
whole batch, over all parts and processes.
"""

import shutil
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from debugger.records import BACKWARD, FORWARD
from train.config import ConfigError
from train.learning import parallel
from train.recording.hooks import Step

if TYPE_CHECKING:
    from train.state.run import Run


def accumulate(
    run: "Run",
    step: Step,
    model: nn.Module,
    criterion: nn.CrossEntropyLoss,
    scaler: torch.amp.GradScaler,
    images: torch.Tensor,
    targets: torch.Tensor,
    labels: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Add the gradients of the batch's mean loss, scaled, to the parameters'.

    Averaged over the processes, they are those of the mean over all their pictures. Batch norm's
    statistics are of each part alone; where there is one process, a part holds two pictures at
    least. Several processes have as many parts each, of which some may be empty.

    Args:
        run: the run; `accumulate` of its hyperparameters is the number of parts.
        step: the step at work.
        model: what is trained.
        criterion: its mean is taken over pictures, or by class weights.
        scaler: of float16's gradients.
        images: this process's, [B, 3, H, W], or features [B, F]; B may be 0.
        targets: classes int64 [B], or their shares [B, C].
        labels: classes int64 [B].

    Returns:
        the answers int64 [B], and float64 [3], the step's figures over all processes: summed loss,
        right answers, pictures.
    """
    world, count = run.job.world, len(labels)
    parts = run.config.accumulate if world > 1 else min(run.config.accumulate, max(1, count // 2))
    split = images.tensor_split(parts), targets.tensor_split(parts)
    weights = [weight(criterion, part) for part in split[1]]
    mine = torch.stack(weights).sum()
    total = parallel.total(mine)
    loss, answers = torch.zeros_like(total), []
    for number, (some, wanted) in enumerate(zip(*split, strict=True)):
        with _exchange(model, last=number == parts - 1):
            with step.phase(FORWARD), run.autocast():
                logits = model(some).float()
                mean = criterion(logits, wanted) if len(some) else logits.sum() * 0
                share = weights[number] / total
                scaled = mean * (share * world).to(mean.dtype)
            with step.phase(BACKWARD):
                scaler.scale(scaled).backward()
        loss += mean.detach() * weights[number] / mine.clamp(min=1e-12)
        answers.append(logits.detach().argmax(1))
    together = torch.cat(answers)
    right = (together == labels).sum()
    return together, parallel.figures(loss, mine, right, count)


def compiled(model: nn.Module) -> nn.Module:
    """Return a module of the same parameters whose passes torch.compile makes faster.

    Raises:
        ConfigError: there is no compiler to make them with.
    """
    if not any(map(shutil.which, ("c++", "g++", "clang++"))):
        raise ConfigError(
            "compile=true needs a C++ compiler, and this image has none: build an image from it "
            "with g++, or leave compile=false"
        )
    module: nn.Module = torch.compile(model)  # type: ignore[assignment]
    return module


def weight(criterion: nn.CrossEntropyLoss, targets: torch.Tensor) -> torch.Tensor:
    """Return what the criterion's mean is divided by: the number of targets, or their weights."""
    if criterion.weight is None or targets.ndim > 1:
        return torch.full((), float(len(targets)), device=targets.device)
    return criterion.weight[targets].sum()


def _exchange(model: nn.Module, *, last: bool) -> AbstractContextManager[None]:
    """Let the processes exchange gradients once, with the last part."""
    if last or not isinstance(model, DistributedDataParallel):
        return nullcontext()
    waiting: AbstractContextManager[None] = model.no_sync()
    return waiting
