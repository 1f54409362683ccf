"""Prepares a network for fast inference: for serving, and for frozen backbones in training."""

import copy
from collections.abc import Sequence

import torch
from torch import fx, nn
from torch.fx.experimental import optimization

from classifier import fusion

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16}


def computes_bf16(device: torch.device) -> bool:
    """Return whether the hardware computes bfloat16 at full speed; emulation would be slower."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def prepare(
    network: nn.Module,
    device: torch.device,
    precision: torch.dtype = torch.float32,
    *,
    side: int,
    batch_sizes: Sequence[int],
) -> fx.GraphModule:
    """Return a copy prepared for inference, without hooks; `network` is not changed.

    Batch normalisation is folded into the convolutions, and memory is channels last. On a processor
    oneDNN computes the convolutions, with the operations after them (classifier.fusion).

    Args:
        network: takes float [B, 3, H, W]; in evaluation mode.
        device: where it will run.
        precision: of weights, activations and inputs.
        side: H and W of most pictures, pixels.
        batch_sizes: each B to optimise for; others work too.
    """
    # Folded in float32: folding in bfloat16 would lose precision.
    folded = optimization.fuse(_copy(network), inplace=True).requires_grad_(False)
    assert isinstance(folded, fx.GraphModule)
    folded.to(device, precision).to(memory_format=torch.channels_last)
    if device.type == "cpu" and fusion.can_fuse(precision):
        example = torch.zeros(1, 3, side, side, dtype=precision)
        fusion.fuse(folded, example.to(memory_format=torch.channels_last), batch_sizes)
    return folded


def _copy(network: nn.Module) -> nn.Module:
    """Return a copy in evaluation mode, without hooks, with plain batch norm."""
    hooks = (
        found
        for module in network.modules()
        for found in (module._forward_hooks, module._forward_pre_hooks, module._backward_hooks)
    )
    twin = copy.deepcopy(network, {id(one): type(one)() for one in hooks}).eval()
    for module in twin.modules():
        # With fixed statistics, SyncBatchNorm computes the same.
        if isinstance(module, nn.BatchNorm2d | nn.SyncBatchNorm):
            module.__class__ = nn.BatchNorm2d
    return twin
