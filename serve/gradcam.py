"""Why the network said what it said: the parts of the picture that spoke for a class."""

import io
from typing import Any

import torch
from PIL import Image
from torch import fx
from torch.nn import functional as F

from serve.errors import RequestError


class _LastMap(fx.Interpreter):
    """Runs a network and keeps the last feature map [1, C, h, w] that has places."""

    def __init__(self, network: fx.GraphModule) -> None:
        super().__init__(network)
        self.found: torch.Tensor | None = None

    def run_node(self, n: fx.Node) -> Any:
        value = super().run_node(n)
        if isinstance(value, torch.Tensor) and value.ndim == 4 and min(value.shape[2:]) > 1:
            self.found = value
        return value


def heat_map(network: fx.GraphModule, pixels: torch.Tensor, target: int) -> bytes:
    """Return a PNG of the input's size: red where the picture spoke for `target`, else clear.

    Args:
        network: as the predictor runs it.
        pixels: [1, 3, H, W], on its device and in its precision.
        target: the class.

    Raises:
        RequestError: 400, the network has no feature maps, as vision transformers do not.

    Source: Selvaraju et al. 2017, "Grad-CAM".
    """
    with torch.enable_grad():
        run = _LastMap(network)
        logits = run.run(pixels.detach().clone().requires_grad_())
        found = run.found
        if found is None or found.shape[1:] == pixels.shape[1:] or _is_transformer(network):
            raise RequestError(
                400,
                "this network keeps no feature maps to explain with",
                "leave explain=gradcam out",
            )
        (gradient,) = torch.autograd.grad(logits[0, target], found)
    strength = (gradient.float().mean((2, 3), keepdim=True) * found.detach().float()).sum(1)
    strength = strength.clamp(min=0)[None]
    strength = F.interpolate(strength, pixels.shape[2:], mode="bilinear")[0, 0]
    strength = strength / strength.max().clamp(min=1e-12)
    alpha = Image.fromarray((strength * 200).to(torch.uint8).cpu().numpy())
    picture = Image.new("RGBA", alpha.size, (255, 0, 0, 0))
    picture.putalpha(alpha)
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


def _is_transformer(network: fx.GraphModule) -> bool:
    """Say whether only the first layer has places, as where patches become words."""
    return "conv_proj" in dict(network.named_modules())
