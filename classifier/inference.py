"""A network as it computes fastest where nothing more is learned: when serving, and when frozen."""

import copy
from collections.abc import Sequence

import torch
from torch import fx, nn
from torch.fx.experimental import optimization

from classifier import fusion


def prepare(
    network: nn.Module,
    device: torch.device,
    precision: torch.dtype = torch.float32,
    *,
    side: int,
    batch_sizes: Sequence[int],
) -> fx.GraphModule:
    """Return a copy that is laid out for inference; `network` stays as it is, its hooks its own.

    Batch normalisation is folded into the convolutions and pixels are stored channels last; on a
    processor the convolutions are oneDNN's, with what follows them (classifier.fusion).

    Args:
        network: from float [B, 3, H, W]; in evaluation mode.
        device: where it will run.
        precision: of weights and activations, and of its inputs.
        side: H and W of most pictures, pixels.
        batch_sizes: each B to be fast with; others do as well.
    """
    # In float32, whatever the later precision: folding in bfloat16 would lose digits.
    folded = optimization.fuse(_copy(network), inplace=True).requires_grad_(False)
    assert isinstance(folded, fx.GraphModule)
    folded.to(device, precision).to(memory_format=torch.channels_last)
    if device.type == "cpu" and fusion.can_fuse(precision):
        example = torch.zeros(1, 3, side, side, dtype=precision)
        fusion.fuse(folded, example.to(memory_format=torch.channels_last), batch_sizes)
    return folded


def _copy(network: nn.Module) -> nn.Module:
    """Return a copy in evaluation mode, without hooks, its batch norm torch's plain one."""
    hooks = (
        found
        for module in network.modules()
        for found in (module._forward_hooks, module._forward_pre_hooks, module._backward_hooks)
    )
    twin = copy.deepcopy(network, {id(one): type(one)() for one in hooks}).eval()
    for module in twin.modules():
        # With fixed statistics, that of several processes computes the same.
        if isinstance(module, nn.BatchNorm2d | nn.SyncBatchNorm):
            module.__class__ = nn.BatchNorm2d
    return twin
