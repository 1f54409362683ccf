"""What an engine does: pixels in, logits out, on one device in one precision. Without torch."""

from collections.abc import Callable, MutableMapping
from typing import Any, Protocol

import numpy as np

from classifier.transform import Floats
from serve.errors import RequestError

NOTHING_TO_EXPLAIN = RequestError(
    400, "this network has no feature maps to explain", "remove explain=gradcam"
)


class Engine(Protocol):
    """A bundle's network, prepared for inference."""

    @property
    def name(self) -> str:
        """The library: `openvino` or `torch`."""

    @property
    def precision(self) -> str:
        """What it computes in: `fp32`, `bf16` or `int8`."""

    @property
    def device(self) -> str:
        """Where it computes: `cpu` or `cuda:0`."""

    def predict(self, pixels: Floats) -> Floats:
        """Return logits, float32 [B, C], for float32 [B, 3, H, W]; B can be any number."""

    def explain(self, pixels: Floats, target: int) -> bytes:
        """Return a heat map of float32 [3, H, W] for class `target`, a PNG.

        Raises:
            RequestError: 400, the network has no feature maps, or this engine cannot explain it.
        """

    def share_weights(self, known: MutableMapping[str, Any]) -> None:
        """Use equal weights of `known` instead of its own, and add the others, where it can."""


def in_parts(
    predict: Callable[[Floats], Floats], pixels: Floats, most: int, *, flip: bool = False
) -> Floats:
    """Return the logits of any number of pictures, computed in parts.

    Args:
        predict: float32 [B, 3, H, W] -> logits [B, C], for B up to `most`.
        pixels: [N, 3, H, W].
        most: pictures in a part.
        flip: the logits are the mean of the picture and its mirror image.
    """
    parts = []
    for start in range(0, len(pixels), most):
        part = np.ascontiguousarray(pixels[start : start + most])
        logits = predict(part)
        if flip:
            mirrored = predict(np.ascontiguousarray(part[..., ::-1]))
            logits = (logits + mirrored) * np.float32(0.5)
        parts.append(logits)
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def warm(engine: Engine, side: int, size: int = 1) -> None:
    """Run one batch of a size: the first of each size is slower."""
    engine.predict(np.zeros((size, 3, side, side), np.float32))
