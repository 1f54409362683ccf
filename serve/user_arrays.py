"""What the user's functions get and return in an image without torch: numpy's arrays."""

import contextlib
from collections.abc import Callable
from typing import Any

import numpy as np

from classifier.transform import Floats


class Arrays:
    """Pictures, models and predictions as arrays."""

    def given(self, pixels: Floats) -> Any:
        """Return pixels, float32 [N, 3, H, W], as the functions get them."""
        return pixels

    def model(self, predict: Callable[[Floats], Floats]) -> Callable[[Any], Any]:
        """Return the bundle's network as the functions get it."""
        return lambda data: predict(np.ascontiguousarray(data, np.float32))

    def call(self, model: Any, data: Any) -> Any:
        """Call a model of the user's, and return its output."""
        output = model(data)
        return getattr(output, "logits", output)  # of a Hugging Face model

    def table(self, prediction: Any) -> Floats | None:
        """Return a prediction that can be logits, as float32 [N, C]; None for another."""
        if not isinstance(prediction, np.ndarray) or prediction.ndim != 2:
            return None
        return prediction.astype(np.float32) if prediction.dtype.kind == "f" else None

    def row(self, prediction: Any) -> Floats | None:
        """Return a prediction [C] of one picture as logits, float32 [1, C]; None for another."""
        if getattr(prediction, "ndim", None) != 1:
            return None
        return self.table(prediction[None])

    def without_gradients(self) -> contextlib.AbstractContextManager[object]:
        """Return the context in which predictions are computed."""
        return contextlib.nullcontext()

    def set_threads(self, threads: int) -> None:
        """Set how many threads a model of the user's computes with: its library's own business."""
