"""OpenVINO on processors: float32, bfloat16, and 8 bits where the bundle has them."""

from collections.abc import MutableMapping
from typing import Any

import numpy as np
import openvino
import safetensors

from classifier import processor
from classifier.description import MODEL, ONNX, ONNX_INT8, BundleError, Described
from classifier.transform import Floats
from serve.engines import heat_map, onnx_file
from serve.engines.engine import NOTHING_TO_EXPLAIN, in_parts
from serve.engines.onnx_file import LOGITS, MAPS, PIXELS
from serve.errors import RequestError

# The largest tensor between two layers, for one picture: a GiB of float32.
_MOST_VALUES = 2**28
_NO_MAPS = RequestError(
    400,
    "this network cannot be explained without gradients, which this engine does not have",
    "remove explain=gradcam, or serve it with KENNEL_ENGINE=torch in the image kennel-serve",
)


class OpenVinoEngine:
    """A bundle's `model.onnx` or `model.int8.onnx`, compiled for this processor.

    Args:
        described: the bundle, which has the file.
        precision: `fp32`, `bf16` or `int8`.
        threads: processor threads for one forward pass.
        max_batch: most pictures in one forward pass.

    Raises:
        BundleError: the file is damaged or hostile, or not of this bundle's network.
        UnsupportedError: this processor does not compute in the precision.
    """

    name = "openvino"
    device = "cpu"

    def __init__(
        self, described: Described, precision: str, threads: int, max_batch: int = 8
    ) -> None:
        description = described.description
        assert description.export is not None
        self.precision = precision
        self._flip = description.test_time_flip
        self._max_batch = max_batch
        self._head = _head(described, description.export.head)
        file = ONNX_INT8 if precision == "int8" else ONNX
        model = _read(described, file)
        # In 8 bits only the quantised layers are integers, and the rest is computed in float32.
        rest = "fp32" if precision == "int8" else precision
        compiled = processor.compile_model(model, rest, threads)
        self._request = compiled.create_infer_request()

    def predict(self, pixels: Floats) -> Floats:
        """Return logits, float32 [B, C], for float32 [B, 3, H, W]."""
        return in_parts(self._predict, pixels, self._max_batch, flip=self._flip)

    def explain(self, pixels: Floats, target: int) -> bytes:
        """Return a heat map of float32 [3, H, W] for class `target`, a PNG.

        The logit is linear in the last feature maps, so the gradient that Grad-CAM takes is a row
        of the head's weights: the map is that of torch.

        Raises:
            RequestError: 400, the network has no such maps.
        """
        if self._head is None:
            raise _NO_MAPS.without_frames()
        self._predict(np.ascontiguousarray(pixels[None]))
        maps = self._request.get_tensor(MAPS).data[0]
        if min(maps.shape[1:]) < 2:
            raise NOTHING_TO_EXPLAIN.without_frames()
        return heat_map.png(np.tensordot(self._head[target], maps, 1), *pixels.shape[1:])

    def share_weights(self, known: MutableMapping[str, Any]) -> None:
        """Do nothing: compiled weights cannot be shared."""

    def _predict(self, pixels: Floats) -> Floats:
        self._request.infer({PIXELS: pixels}, share_inputs=True)
        return np.array(self._request.get_tensor(LOGITS).data, np.float32)


def _read(described: Described, file: str) -> "openvino.Model":
    """Read and check a file of a bundle.

    Raises:
        BundleError: hostile, or not of this bundle's network.
    """
    description, path = described.description, described.directory / file
    assert description.export is not None
    side, classes = description.transform.crop, len(description.classes)
    data = described.contents(file)
    has_maps = description.export.head is not None
    onnx_file.check(data, str(path), side=side, has_maps=has_maps)
    # From bytes: nothing is looked up next to the file.
    model = processor.core().read_model(data)
    model.reshape({PIXELS: [1, 3, side, side]})
    for operation in model.get_ops():
        for output in operation.outputs():
            shape = output.get_partial_shape()
            if shape.is_static and np.prod(list(shape.to_shape()), dtype=float) > _MOST_VALUES:
                raise BundleError(
                    f"{path} is refused: a picture needs a tensor of shape {list(shape.to_shape())}"
                )
    if list(model.output(LOGITS).get_partial_shape().to_shape()) != [1, classes]:
        raise BundleError(f"{path} is refused: its logits are not those of {classes} classes")
    model.reshape({PIXELS: [-1, 3, side, side]})
    return model


def _head(described: Described, name: str | None) -> Floats | None:
    """Return the weights of the linear head, float32 [C, D]; None without."""
    if name is None:
        return None
    path = described.checked(MODEL)
    try:
        with safetensors.safe_open(path, "numpy") as opened:
            weights = opened.get_tensor(name)
    except safetensors.SafetensorError as error:
        raise BundleError(f"{path} has no readable {name!r}: {error}") from error
    if weights.ndim != 2 or len(weights) != len(described.description.classes):
        raise BundleError(f"{name!r} in {path} is not the head: its shape is {weights.shape}")
    return np.array(weights, np.float32)
