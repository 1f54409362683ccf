"""Several processes train as one process would on the same batch: gradients, statistics, figures.

Each process has a share of the batch. An empty share takes part too, with weight 0.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from pictures.picture import DataError, Splits
from train.batches.batch import Unreadable
from train.learning.evaluate import Scores


def wrap(network: nn.Module) -> nn.Module:
    """Return the module to call in training; it averages gradients over the processes."""
    if not dist.is_initialized():
        return network
    # Buffers are equal already: batch norm is frozen, or its statistics are of all processes.
    return DistributedDataParallel(network, forward_sync_buffers=False)


def synchronise_batch_norm(network: nn.Module, device: torch.device) -> nn.Module:
    """Return the network with batch norm over the pictures of all processes."""
    if device.type != "cpu":
        convert = nn.SyncBatchNorm.convert_sync_batchnorm
        converted: nn.Module = convert(network)  # type: ignore[no-untyped-call]
        return converted
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.__class__ = _SyncBatchNorm2d  # the same fields, another forward pass
    return network


def total(weight: torch.Tensor) -> torch.Tensor:
    """Return the sum of a scalar over all processes, at least 1e-12."""
    summed = weight.double()
    if dist.is_initialized():
        dist.all_reduce(summed)
    return summed.clamp(min=1e-12)


def figures(
    loss: torch.Tensor, weight: torch.Tensor, right: torch.Tensor, count: int
) -> torch.Tensor:
    """Return a step's figures over all processes, float64 [3]: summed loss, right, pictures.

    Args:
        loss: the mean of this process, a scalar.
        weight: the divisor of that mean, a scalar: the number of pictures, or their class weights.
        right: the number of right answers, a scalar.
        count: the pictures of this process.
    """
    mean, right, here = loss.detach().double(), right.double(), weight.new_full((), count).double()
    if not dist.is_initialized():
        return torch.stack([mean * count, right, here])
    sums = torch.stack([mean * weight, weight.double(), right, here])
    dist.all_reduce(sums)
    summed, weights, right_, count_ = sums
    return torch.stack([summed / weights.clamp(min=1e-12) * count_, right_, count_])


def gather(scores: Scores) -> Scores:
    """Return scores with the logits of all processes."""
    if not dist.is_initialized():
        return scores
    kept = [(s, t) for s, t in all_gather((scores.logits, scores.labels)) if s is not None]
    if not kept:
        return scores
    logits, labels = (torch.cat(parts) for parts in zip(*kept, strict=True))
    return replace(scores, logits=logits, labels=labels)


def gather_unreadable(unreadable: Unreadable) -> None:
    """Tell every process which pictures the others could not read.

    Raises:
        DataError: too many pictures in all.
    """
    if dist.is_initialized():
        found: Mapping[str, str]
        for found in all_gather(unreadable.found):
            unreadable.found |= found
        unreadable.add(())


def check_same_pictures(splits: Splits) -> None:
    """Check that every process has the same pictures.

    Raises:
        DataError: they differ, for example because S3 objects are sharded over the hosts.
    """
    found = hashlib.sha256()
    for part in (splits.train, splits.valid, splits.test):
        for picture in part:
            found.update(f"{picture.label} {picture.path.name}\n".encode())
        found.update(b"\n")
    if len(set(all_gather(found.hexdigest()))) > 1:
        raise DataError(
            "the hosts have different pictures, and each needs all: set the channels' "
            "S3DataDistributionType to FullyReplicated"
        )


def broadcast(value: Any) -> Any:
    """Return the main process's value in every process."""
    if not dist.is_initialized():
        return value
    box = [value]
    dist.broadcast_object_list(box, src=0)
    return box[0]


def barrier() -> None:
    """Wait until every process has reached this line."""
    all_gather(None)


def all_gather(own: Any) -> list[Any]:
    """Return the values of all processes, by rank."""
    if not dist.is_initialized():
        return [own]
    found: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(found, own)
    return found


class _Sum(torch.autograd.Function):
    """The sum over all processes; gradients flow back to each."""

    @staticmethod
    def forward(context: Any, values: torch.Tensor) -> torch.Tensor:  # noqa: ARG004
        total = values.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(context: Any, *gradients: torch.Tensor) -> torch.Tensor:  # noqa: ARG004
        total = gradients[0].clone()
        dist.all_reduce(total)
        return total


class _SyncBatchNorm2d(nn.BatchNorm2d):
    """Batch norm over the pictures of all processes; torch's own needs a GPU."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Normalise [B, C, H, W]; B can be 0."""
        if not self.training:
            return super().forward(images)
        values = images.float()
        shape = (1, -1, 1, 1)
        sums = [(values**power).sum((0, 2, 3), dtype=torch.float64) for power in (1, 2)]
        pixels = values.new_full((1,), values.numel() // values.shape[1], dtype=torch.float64)
        summed, squared, count = _Sum.apply(torch.cat([*sums, pixels])).split(
            [self.num_features, self.num_features, 1]
        )
        mean = summed / count.clamp(min=1)
        variance = (squared / count.clamp(min=1) - mean**2).clamp(min=0)
        if count > 1:  # one value has no variance
            with torch.no_grad():
                self._update_statistics(mean, variance * count / (count - 1))
        scale = (variance + self.eps).rsqrt().float()
        normal = (values - mean.float().view(shape)) * scale.view(shape)
        if self.affine:
            normal = normal * self.weight.view(shape) + self.bias.view(shape)
        result: torch.Tensor = normal.to(images.dtype)
        return result

    def _update_statistics(self, mean: torch.Tensor, variance: torch.Tensor) -> None:
        if self.running_mean is None or self.running_var is None:
            return
        assert self.num_batches_tracked is not None
        self.num_batches_tracked += 1
        momentum = self.momentum or 1 / float(self.num_batches_tracked)
        self.running_mean.lerp_(mean.float(), momentum)
        self.running_var.lerp_(variance.float(), momentum)
