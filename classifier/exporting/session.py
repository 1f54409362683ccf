"""A network in the open format, run by ONNX Runtime: what a bundle's exports are judged with."""

from collections.abc import Callable

import numpy as np
import onnxruntime
import torch

from classifier.transform import Floats

PIXELS, LOGITS, MAPS = "pixels", "logits", "maps"
_ERRORS_ONLY = 3


def session(model: bytes) -> onnxruntime.InferenceSession:
    """Return a session that computes on the processor, with as many threads as torch."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = _ERRORS_ONLY
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def predictor(model: bytes, *, flip: bool) -> Callable[[Floats], Floats]:
    """Return a function from pixels [B, 3, H, W] to logits [B, classes], both float32.

    Args:
        model: the file's contents.
        flip: the logits are the mean of the picture and its mirror image.
    """
    opened = session(model)

    def predict(pixels: Floats) -> Floats:
        (logits,) = opened.run([LOGITS], {PIXELS: np.ascontiguousarray(pixels)})
        return np.asarray(logits, np.float32)

    def predict_both(pixels: Floats) -> Floats:
        return np.asarray((predict(pixels) + predict(pixels[..., ::-1])) / 2, np.float32)

    return predict_both if flip else predict
