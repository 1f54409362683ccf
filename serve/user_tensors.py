"""What the user's functions get and return in an image with torch: tensors, as in its toolkit."""

import contextlib
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn

from classifier.transform import Floats
from serve.user_arrays import Arrays


class Network(nn.Module):
    """The bundle's network, whichever engine computes it.

    Code for the toolkit calls `eval`, `to` and `forward`, and asks the parameters for their device.
    """

    def __init__(self, predict: Callable[[Floats], Floats]) -> None:
        super().__init__()
        self._predict = predict
        self._placed = nn.Parameter(torch.empty(0), requires_grad=False)

    def forward(self, data: Any) -> Any:
        """Return the logits [N, C] of pixels [N, 3, H, W]."""
        pixels = torch.as_tensor(data).detach().to("cpu", torch.float32)
        return torch.from_numpy(self._predict(pixels.contiguous().numpy()))


class Tensors(Arrays):
    """Pictures, models and predictions as tensors."""

    def given(self, pixels: Floats) -> Any:
        """Return pixels, float32 [N, 3, H, W], as the functions get them."""
        return torch.from_numpy(pixels)

    def model(self, predict: Callable[[Floats], Floats]) -> Callable[[Any], Any]:
        """Return the bundle's network as the functions get it: a module from tensor to tensor."""
        return Network(predict)

    def call(self, model: Any, data: Any) -> Any:
        """Call a model as the toolkit's PyTorch handler does: on its device, in eval mode."""
        if isinstance(model, nn.Module):
            weight = next(model.parameters(), None)
            if weight is not None and isinstance(data, torch.Tensor):
                floats = data.is_floating_point() and weight.is_floating_point()
                data = data.to(weight.device, weight.dtype if floats else data.dtype)
            model = model.eval()
        output = super().call(model, data)
        if isinstance(output, np.ndarray):  # of another runtime
            output = torch.from_numpy(output)
        return output.float().cpu() if isinstance(output, torch.Tensor) else output

    def table(self, prediction: Any) -> Floats | None:
        """Return a prediction that can be logits, as float32 [N, C]; None for another."""
        if not isinstance(prediction, torch.Tensor):
            return super().table(prediction)  # as `output.cpu().numpy()` returns it
        if prediction.ndim != 2:
            return None
        logits: Floats = prediction.detach().float().cpu().numpy()
        return logits

    def without_gradients(self) -> contextlib.AbstractContextManager[object]:
        """Return the context in which predictions are computed."""
        return torch.inference_mode()

    def set_threads(self, threads: int) -> None:
        """Set how many threads a model of the user's computes with."""
        torch.set_num_threads(threads)
