"""Test-time flip: the output is the mean for the picture and its mirror image."""

import torch
from torch import nn


def add_test_time_flip(network: nn.Module) -> nn.Module:
    """Let a network in evaluation mode return the mean of both views; return the network.

    Its modules and weights do not change. In training mode it sees each picture once.

    Args:
        network: from float [B, 3, H, W] to [B, outputs].

    It takes twice the time. Source: He et al. 2016, "Deep Residual Learning", where it is part of
    ten-crop testing.
    """
    network.register_forward_pre_hook(_add_mirrored)
    network.register_forward_hook(_mean_of_halves)
    return network


def has_test_time_flip(network: nn.Module) -> bool:
    """Return whether `add_test_time_flip` was applied to a network."""
    return _add_mirrored in network._forward_pre_hooks.values()


def _add_mirrored(
    network: nn.Module, inputs: tuple[torch.Tensor, ...]
) -> tuple[torch.Tensor, ...] | None:
    return None if network.training else (torch.cat([inputs[0], inputs[0].flip(3)]), *inputs[1:])


def _mean_of_halves(
    network: nn.Module,
    inputs: tuple[torch.Tensor, ...],  # noqa: ARG001
    outputs: torch.Tensor,
) -> torch.Tensor | None:
    return None if network.training else outputs.view(2, -1, outputs.shape[1]).mean(0)
