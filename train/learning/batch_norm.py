"""Batch norm in several processes: over the pictures of all of them, or of one alone."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
from torch import nn


def synchronise(network: nn.Module, device: torch.device) -> nn.Module:
    """Return the network with batch norm over the pictures of all processes."""
    if device.type != "cpu":
        convert = nn.SyncBatchNorm.convert_sync_batchnorm
        converted: nn.Module = convert(network)  # type: ignore[no-untyped-call]
        return converted
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.__class__ = _SyncBatchNorm2d  # the same fields, another forward pass
    return network


@contextmanager
def alone(network: nn.Module) -> Iterator[None]:
    """Let batch norm use the pictures of this process only, so that no pass waits for others."""
    before = [
        (module, module.__class__)
        for module in network.modules()
        if isinstance(module, nn.modules.batchnorm._BatchNorm)
    ]
    try:
        for module, _ in before:
            module.__class__ = _OwnStatistics  # the same fields, another forward pass
        yield
    finally:
        for module, own in before:
            module.__class__ = own


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


class _OwnStatistics(nn.modules.batchnorm._BatchNorm):
    """Batch norm over the pictures of this process, for inputs of any number of dimensions."""

    def _check_input_dim(self, input: torch.Tensor) -> None:  # noqa: A002
        pass
