"""What the inputs of a network's layers are on pictures: their range, and the mean of a channel.

The network itself computes the figures, so that no more than one layer is in memory.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import chain

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from classifier.exporting.session import PIXELS, session
from classifier.transform import Floats

Doubles = npt.NDArray[np.float64]

LEVELS = 255  # between the least and the greatest value in 8 bits
# Values taken of each picture, spread over channels and places.
_VALUES = 1024
_SHARES = np.linspace(0.3, 1.0, 22)  # of the full range that are tried
_FIGURES = ("low", "high", "means", "values")


@dataclass
class Seen:
    """A tensor on pictures.

    Args:
        low: the least value, or 0 if that is less.
        high: the greatest value, or 0 if that is more.
        pictures: how many.
        sums: of the pictures' means, for each channel [C].
        values: some of each batch.
    """

    low: float = 0.0
    high: float = 0.0
    pictures: int = 0
    sums: Doubles = field(default_factory=lambda: np.zeros(1))
    values: list[Floats] = field(default_factory=list)

    @property
    def means(self) -> Doubles:
        """The mean of each channel, [C]."""
        return self.sums / self.pictures

    def add(self, low: Floats, high: Floats, means: Floats, values: Floats) -> None:
        """Take in the figures of a batch: scalars, [B, C] and [B, N]."""
        self.low = min(self.low, float(low))
        self.high = max(self.high, float(high))
        self.pictures += len(means)
        self.sums = self.sums + means.sum(0, dtype=np.float64)
        self.values.append(values.ravel())

    def best_range(self) -> tuple[float, float]:
        """Return the range, around 0, whose rounding to 8 bits has the least squared error."""
        values = np.concatenate([*self.values, np.array([self.low, self.high], np.float32)])
        errors = []
        for share in _SHARES:
            scale = max(share * (self.high - self.low), 1e-8) / LEVELS
            zero = np.round(-share * self.low / scale)
            rounded = (np.clip(np.round(values / scale) + zero, 0, LEVELS) - zero) * scale
            errors.append(float(np.square(rounded - values).mean()))
        share = float(_SHARES[int(np.argmin(errors))])
        return share * self.low, share * self.high


def observe(
    model: onnx.ModelProto, axes: dict[str, int], batches: Iterable[Floats]
) -> dict[str, Seen]:
    """Run a network on pictures, and return what the tensors are.

    Args:
        model: in float32. It is not changed.
        axes: of the channels, for each tensor.
        batches: pictures, float32 [B, 3, H, W]. One at least.
    """
    waiting = iter(batches)
    first = next(waiting)
    asked = [helper.make_node("Shape", [name], [f"{name}_shape"]) for name in axes]
    outputs = [node.output[0] for node in asked]
    shapes = _extended(model, asked, [], outputs, TensorProto.INT64).run(
        outputs, {PIXELS: first[:1]}
    )
    opset = max(one.version for one in model.opset_import if not one.domain)
    nodes: list[onnx.NodeProto] = []
    constants: list[onnx.TensorProto] = []
    for (name, axis), shape in zip(axes.items(), shapes, strict=True):
        more, theirs = _figures(name, axis, list(shape), opset)
        nodes += more
        constants += theirs
    outputs = [f"{name}_{figure}" for name in axes for figure in _FIGURES]
    opened = _extended(model, nodes, constants, outputs, TensorProto.FLOAT)
    seen = {name: Seen() for name in axes}
    for batch in chain([first], waiting):
        found = iter(opened.run(outputs, {PIXELS: batch}))
        for one in seen.values():
            one.add(*(np.asarray(next(found)) for _ in _FIGURES))
    return seen


def _figures(
    name: str, axis: int, shape: Sequence[int], opset: int
) -> tuple[list[onnx.NodeProto], list[onnx.TensorProto]]:
    """Return nodes that compute a tensor's figures, and their constants."""
    size = int(np.prod(shape[1:]))
    places = np.arange(size)
    if size > _VALUES:
        places = np.random.default_rng(0).integers(0, size, _VALUES)
    others = [place for place in range(1, len(shape)) if place != axis % len(shape)]
    means = f"{name}_means"
    constants = [numpy_helper.from_array(places, f"{name}_places")]
    if not others:
        mean = helper.make_node("Identity", [name], [means])
    elif opset < 18:  # the axes became an input
        mean = helper.make_node("ReduceMean", [name], [means], axes=others, keepdims=0)
    else:
        constants.append(numpy_helper.from_array(np.array(others), f"{name}_axes"))
        mean = helper.make_node("ReduceMean", [name, f"{name}_axes"], [means], keepdims=0)
    nodes = [
        helper.make_node("ReduceMin", [name], [f"{name}_low"], keepdims=0),
        helper.make_node("ReduceMax", [name], [f"{name}_high"], keepdims=0),
        mean,
        helper.make_node("Flatten", [name], [f"{name}_flat"]),
        helper.make_node("Gather", [f"{name}_flat", f"{name}_places"], [f"{name}_values"], axis=1),
    ]
    return nodes, constants


def _extended(
    model: onnx.ModelProto,
    nodes: Sequence[onnx.NodeProto],
    constants: Sequence[onnx.TensorProto],
    outputs: Sequence[str],
    kind: int,
) -> onnxruntime.InferenceSession:
    """Return a session of a network with more nodes, and with their outputs only."""
    extended = onnx.ModelProto()
    extended.CopyFrom(model)
    graph = extended.graph
    graph.node.extend(nodes)
    graph.initializer.extend(constants)
    del graph.output[:]
    graph.output.extend(helper.make_tensor_value_info(name, kind, None) for name in outputs)
    return session(extended.SerializeToString())
