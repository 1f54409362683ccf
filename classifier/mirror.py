"""A network that looks at each picture twice, as it is and mirrored, and answers the mean."""

import torch
from torch import nn


def look_twice(network: nn.Module) -> nn.Module:
    """Have a network in evaluation mode answer the mean of two looks; return it.

    Its modules and weights stay as they are. In training mode it looks once.

    Args:
        network: from float [B, 3, H, W] to [B, outputs].

    Source: He et al. 2016, "Deep Residual Learning", of test-time augmentation the part that pays
    most: twice the work.
    """
    network.register_forward_pre_hook(_both)
    network.register_forward_hook(_mean)
    return network


def looks_twice(network: nn.Module) -> bool:
    """Whether a network was told to look twice."""
    return _both in network._forward_pre_hooks.values()


def _both(network: nn.Module, given: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...] | None:
    return None if network.training else (torch.cat([given[0], given[0].flip(3)]), *given[1:])


def _mean(
    network: nn.Module,
    given: tuple[torch.Tensor, ...],  # noqa: ARG001
    outputs: torch.Tensor,
) -> torch.Tensor | None:
    return None if network.training else outputs.view(2, -1, outputs.shape[1]).mean(0)
