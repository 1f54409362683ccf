"""Grad-CAM in torch: a heat map of the regions of a picture that led to a class."""

from typing import Any

import torch
from torch import fx

from serve.engines import heat_map
from serve.engines.engine import NOTHING_TO_EXPLAIN


class _LastFeatureMap(fx.Interpreter):
    """Runs a network, and stores the last feature map [1, C, h, w] larger than 1 x 1.

    All values are stored too, so that the rest can be run again without what comes before.
    """

    def __init__(self, network: fx.GraphModule) -> None:
        super().__init__(network, garbage_collect_values=False)
        self.node: fx.Node | None = None
        self.feature_map: torch.Tensor | None = None
        self.before: dict[fx.Node, Any] = {}

    def run_node(self, n: fx.Node) -> Any:
        value = super().run_node(n)
        if isinstance(value, torch.Tensor) and value.ndim == 4 and min(value.shape[2:]) > 1:
            self.node, self.feature_map = n, value
            self.before = dict(self.env)
        return value


def explain(network: fx.GraphModule, pixels: torch.Tensor, target: int) -> bytes:
    """Return a PNG of the input's size: red where the picture supports `target`, else transparent.

    Args:
        network: the engine's.
        pixels: [1, 3, H, W], on its device and in its precision.
        target: the class.

    Raises:
        RequestError: 400, the network has no feature maps, as vision transformers do not.

    Source: Selvaraju et al. 2017, "Grad-CAM".
    """
    with torch.no_grad():
        run = _LastFeatureMap(network)
        run.run(pixels)
    node, feature_map = run.node, run.feature_map
    if (
        node is None
        or feature_map is None
        or feature_map.shape[1:] == pixels.shape[1:]
        or _is_transformer(network)
    ):
        raise NOTHING_TO_EXPLAIN.without_frames()
    # Gradients are needed from here on only, which is a small part of the network.
    with torch.enable_grad():
        leaf = feature_map.detach().clone().requires_grad_()
        logits = fx.Interpreter(network).run(pixels, initial_env={**run.before, node: leaf})
        (gradient,) = torch.autograd.grad(logits[0, target], leaf)
    strength = (gradient.float().mean((2, 3), keepdim=True) * feature_map.detach().float()).sum(1)
    return heat_map.png(strength[0].cpu().numpy(), *pixels.shape[2:])


def _is_transformer(network: fx.GraphModule) -> bool:
    """Return whether only the patch embedding has feature maps, as in vision transformers."""
    return "conv_proj" in dict(network.named_modules())
