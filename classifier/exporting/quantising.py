"""A network in 8 bits, by ONNX Runtime's static quantisation.

The file has float32's operators between pairs of QuantizeLinear and DequantizeLinear, which every
engine reads. Weights have a scale for each output channel and activations one for each tensor,
from the range that they have on pictures of training.

Weights use 7 of the 8 bits. Processors with AVX2 and without VNNI add two products of a uint8 and
an int8 in 16 bits; with 8 bits the sum overflows in silence, with 7 it cannot
(2 * 255 * 64 < 2**15). So one file is right on each processor.
Source: onnxruntime.ai/docs/performance/model-optimizations/quantization.html.
"""

import contextlib
import logging
import tempfile
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path

import onnx
from onnxruntime import quantization
from onnxruntime.quantization import QuantFormat, QuantType
from onnxruntime.quantization.shape_inference import quant_pre_process

from classifier.exporting.session import PIXELS
from classifier.transform import Floats

METHOD = (
    "ONNX Runtime, static, QDQ; uint8 activations by minimum and maximum, int8 weights in 7 bits "
    "for each channel"
)


class _Batches(quantization.CalibrationDataReader):  # type: ignore[misc]
    """Gives the quantiser a batch at a time."""

    def __init__(self, batches: Iterable[Floats]) -> None:
        self._batches = iter(batches)

    def get_next(self) -> dict[str, Floats] | None:
        batch = next(self._batches, None)
        return None if batch is None else {PIXELS: batch}


def quantise(model: bytes, batches: Iterable[Floats]) -> bytes:
    """Return an ONNX file's network in 8 bits, with the same inputs and outputs.

    Args:
        model: the file's contents, in float32.
        batches: pictures of training, float32 [B, 3, H, W].
    """
    with tempfile.TemporaryDirectory() as scratch, _quietly():
        prepared, quantised = Path(scratch) / "prepared.onnx", Path(scratch) / "quantised.onnx"
        # Folds constants and infers shapes, without which the quantiser leaves out operators.
        quant_pre_process(onnx.load_from_string(model), str(prepared), skip_symbolic_shape=True)
        quantization.quantize_static(
            str(prepared),
            str(quantised),
            _Batches(batches),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            reduce_range=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )
        return _plain(onnx.load(str(quantised), load_external_data=False))


def _plain(model: onnx.ModelProto) -> bytes:
    """Return the file without unused operator sets and notes."""
    used = {node.domain or "" for node in model.graph.node}
    kept = [entry for entry in model.opset_import if entry.domain in used]
    del model.opset_import[:]
    model.opset_import.extend(kept)
    del model.graph.value_info[:]
    del model.metadata_props[:]
    data: bytes = model.SerializeToString()
    return data


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Keep the quantiser's advice out of the log."""
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        root.setLevel(level)
