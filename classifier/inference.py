"""Prepares a network for fast inference: for serving, and for frozen backbones in training."""

import copy
from collections import Counter

import torch
from torch import fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from classifier import processor

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16}


def computes_bf16(device: torch.device) -> bool:
    """Return whether the hardware computes bfloat16 at full speed; emulation would be slower."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    return processor.computes_bf16()


def prepare(
    network: nn.Module, device: torch.device, precision: torch.dtype = torch.float32
) -> fx.GraphModule:
    """Return a copy prepared for inference, without hooks; `network` is not changed.

    Batch normalisation is folded into the convolutions, and memory is channels last.

    Args:
        network: takes float [B, 3, H, W]; in evaluation mode.
        device: where it will run.
        precision: of weights, activations and inputs.
    """
    # Folded in float32: folding in bfloat16 would lose precision.
    folded = _fold(fx.symbolic_trace(_copy(network))).requires_grad_(False)
    return folded.to(device, precision).to(memory_format=torch.channels_last)


def _fold(network: fx.GraphModule) -> fx.GraphModule:
    """Fold each batch norm into the convolution before it, if nothing else uses its result."""
    called = Counter(node.target for node in network.graph.nodes if node.op == "call_module")
    for node in list(network.graph.nodes):
        norm = _module(network, node)
        if not isinstance(norm, nn.BatchNorm2d) or norm.running_mean is None:
            continue
        (before,) = node.all_input_nodes
        convolution = _module(network, before)
        if isinstance(convolution, nn.Conv2d) and len(before.users) == called[before.target] == 1:
            network.set_submodule(str(before.target), fuse_conv_bn_eval(convolution, norm))
            node.replace_all_uses_with(before)
            network.graph.erase_node(node)
    network.delete_all_unused_submodules()
    network.recompile()
    return network


def _module(network: fx.GraphModule, node: fx.Node) -> nn.Module | None:
    return network.get_submodule(str(node.target)) if node.op == "call_module" else None


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
