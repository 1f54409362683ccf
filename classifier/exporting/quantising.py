"""A network in 8 bits, made after training: its layers compute with integers.

Rounded are the inputs and the weights of convolutions and linear layers, by pairs of QuantizeLinear
and DequantizeLinear, which every engine reads, and what the same tensors meet in sums and pools of
maxima. Outputs, activation functions and the last layer stay in float32.

- An input has one scale, for the range with the least squared error on pictures of training.
- A weight has a scale for each output channel. Processors with AVX2 or AVX-512 and without VNNI add
  the products of two neighbours among the input's channels in 16 bits: 255 * 129 would become
  32,767 in silence. So the weights of two neighbours add up to 128 or less.
- Weights are rounded so that their sums stay.
- Rounded weights move the mean of a layer's output, and its bias moves it back.
  Source: Nagel et al. 2019, Data-free quantization, section 4.2; the means are of pictures.
"""

import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
from onnx import helper, numpy_helper

from classifier.exporting import ranges
from classifier.exporting.ranges import Doubles, Seen
from classifier.transform import Floats

METHOD = (
    "static, QDQ; uint8 inputs in ranges of least squared error, int8 weights for each channel "
    "that fit without VNNI, sums and means corrected; the last layer in float32"
)
_ERRORS_ONLY = 3
_PAIR = 128  # the most that two neighbours may add up to

Integers = npt.NDArray[np.int8]


@dataclass(frozen=True)
class _Layer:
    """A convolution or linear layer with constant weights."""

    node: onnx.NodeProto
    weight: Floats
    out_axis: int  # of the weight
    channels: int  # the axis of the input's channels, from the end if negative

    @property
    def source(self) -> str:
        return str(self.node.input[0])


def quantise(model: bytes, batches: Iterable[Floats]) -> bytes:
    """Return an ONNX file's network in 8 bits, with the same inputs and outputs.

    Args:
        model: the file's contents, in float32.
        batches: pictures of training, float32 [B, 3, H, W].

    Raises:
        ValueError: it has no layers to round.
    """
    prepared = _folded(model)
    graph = prepared.graph
    layers = _layers(graph)[:-1]
    if not layers:
        raise ValueError("it has fewer than two convolutions and linear layers with weights")
    axes = {one.source: one.channels for one in layers}
    seen = ranges.observe(prepared, axes | _summands(graph), batches)
    constants = {one.name: numpy_helper.to_array(one) for one in graph.initializer}
    nodes = {name: _round_trip(graph, name, one.best_range()) for name, one in seen.items()}
    nodes |= _pools(graph, seen)
    _share(graph, seen)
    for number, layer in enumerate(layers):
        node = layer.node
        rounded, scales = _rounded(layer)
        name = f"{node.input[1]}_{number}"
        nodes[name] = [_weight(graph, name, rounded, scales, layer.out_axis)]
        error = _along(scales, layer) * rounded - layer.weight
        moved = _moved(layer, error, seen[layer.source].means)
        old = constants[node.input[2]] if len(node.input) > 2 else np.float32(0)
        _constant(graph, f"{name}_bias", (old - moved).astype(np.float32))
        del node.input[2:]
        if node.op_type == "MatMul":
            inputs, output = [f"{name}_product", f"{name}_bias"], node.output[0]
            nodes[inputs[0]] = [helper.make_node("Add", inputs, [output])]
            node.output[0] = inputs[0]
        else:
            node.input.append(f"{name}_bias")
        node.input[0] = f"{layer.source}_rounded"
        node.input[1] = f"{name}_rounded"
    _sort(graph, nodes)
    data: bytes = prepared.SerializeToString()
    return data


def _folded(model: bytes) -> onnx.ModelProto:
    """Return the network with its constants computed, and batch norms in the weights."""
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "folded.onnx"
        options = onnxruntime.SessionOptions()
        options.log_severity_level = _ERRORS_ONLY
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
        options.optimized_model_filepath = str(path)
        onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        folded = onnx.load(path)
    used = {node.domain or "" for node in folded.graph.node}
    kept = [entry for entry in folded.opset_import if entry.domain in used]
    del folded.opset_import[:]
    folded.opset_import.extend(kept)
    del folded.graph.value_info[:]
    del folded.metadata_props[:]
    return folded


def _layers(graph: onnx.GraphProto) -> list[_Layer]:
    """Return the layers that have constant weights, in the order of the network."""
    constants = {one.name: one for one in graph.initializer}
    found = []
    for node in graph.node:
        if node.op_type not in ("Conv", "Gemm", "MatMul") or node.input[1] not in constants:
            continue
        weight = numpy_helper.to_array(constants[node.input[1]])
        settings = {one.name: helper.get_attribute_value(one) for one in node.attribute}
        plain = all(settings.get(name, 1) == 1 for name in ("alpha", "beta"))
        if weight.dtype != np.float32 or weight.ndim < 2 or not plain or settings.get("transA"):
            continue
        if node.op_type == "Conv" or settings.get("transB"):
            found.append(_Layer(node, weight, 0, 1))
        elif weight.ndim == 2:
            found.append(_Layer(node, weight, 1, -1))
    return found


def _summands(graph: onnx.GraphProto) -> dict[str, int]:
    """Return one summand, and the axis of its channels, of each sum of two convolutions."""
    made = {node.output[0] for node in graph.node if node.op_type == "Conv"}
    sums = [node.input for node in graph.node if node.op_type == "Add"]
    return {str(names[1]): 1 for names in sums if all(name in made for name in names)}


def _pools(graph: onnx.GraphProto, seen: dict[str, Seen]) -> dict[str, list[onnx.NodeProto]]:
    """Round before a pool of maxima what is rounded after it: the numbers are the same."""
    nodes = {}
    for node in graph.node:
        name, pooled = node.input[0] if node.input else "", node.output[0]
        if node.op_type == "MaxPool" and pooled in seen and name not in seen:
            nodes[name] = _round_trip(graph, name, seen[pooled].best_range())
            node.input[0] = f"{name}_rounded"
    return nodes


def _share(graph: onnx.GraphProto, seen: dict[str, Seen]) -> None:
    """Let sums read rounded tensors, which have a quarter of the bytes."""
    constants = {one.name for one in graph.initializer}
    for node in graph.node:
        if node.op_type == "Add" and not constants.intersection(node.input):
            for place, name in enumerate(node.input):
                if name in seen:
                    node.input[place] = f"{name}_rounded"


def _rounded(layer: _Layer) -> tuple[Integers, Floats]:
    """Return the weight in integers, and the scale of each output channel.

    The sums of a kernel and of a channel are rounded too: what is near in a picture is alike, so
    errors of one sign would add up.
    """
    moved = np.moveaxis(layer.weight, layer.out_axis, 0)
    largest = np.abs(moved.reshape(len(moved), -1)).max(1)
    # Rounding, to either side, adds less than two to the sum of two.
    scales = np.maximum(largest, _neighbours(moved)) / (_PAIR - 2)
    scales = np.where(scales > 0, scales, 1).astype(np.float32)
    exact = moved / scales.reshape(-1, *[1] * (moved.ndim - 1))
    whole = np.round(exact)
    for rows in (moved.shape[0] * moved.shape[1], moved.shape[0]):
        whole = _with_sums(whole.reshape(rows, -1), exact.reshape(rows, -1)).reshape(moved.shape)
    integers = np.moveaxis(whole.astype(np.int8), 0, layer.out_axis)
    return np.ascontiguousarray(integers), scales


def _with_sums(whole: Floats, exact: Floats) -> Floats:
    """Round the numbers that are nearest to the middle to their other side, until sums agree.

    Args:
        whole: rounded, [rows, N].
        exact: the same before.
    """
    if whole.shape[1] == 1:
        return whole
    error = whole - exact
    excess = np.round(error.sum(1, keepdims=True))
    sign = np.sign(excess)
    order = (-sign * error).argsort(1)
    steps = sign * (np.arange(whole.shape[1]) < np.abs(excess))
    changed = np.take_along_axis(whole, order, 1) - steps
    np.put_along_axis(whole, order, changed, 1)
    return whole


def _neighbours(weight: Floats) -> Floats:
    """Return the largest sum, without its sign, of two neighbours in each output channel [O].

    Args:
        weight: [O, I, ...].
    """
    sums = np.abs(weight[:, 1:] + weight[:, :-1])
    return np.asarray(sums.reshape(len(weight), -1).max(1, initial=0))


def _along(scales: Floats, layer: _Layer) -> Floats:
    shape = [1] * layer.weight.ndim
    shape[layer.out_axis] = -1
    return scales.reshape(shape)


def _moved(layer: _Layer, error: Floats, means: Doubles) -> Doubles:
    """Return how far the error of the weight moves the mean of each output channel."""
    if layer.node.op_type != "Conv":
        return np.asarray(means @ (error if layer.out_axis else error.T))
    sums = error.reshape(*error.shape[:2], -1).sum(2)
    groups = len(means) // sums.shape[1]
    by_group = sums.reshape(groups, -1, sums.shape[1])
    return np.asarray(np.einsum("goi,gi->go", by_group, means.reshape(groups, -1)).ravel())


def _round_trip(
    graph: onnx.GraphProto, name: str, bounds: tuple[float, float]
) -> list[onnx.NodeProto]:
    """Return the nodes that round a tensor to 8 bits, as `name_rounded`."""
    low, high = bounds
    scale = max(high - low, 1e-8) / ranges.LEVELS
    zero = int(np.clip(round(-low / scale), 0, ranges.LEVELS))
    inputs = [f"{name}_scale", f"{name}_zero"]
    _constant(graph, inputs[0], np.array(scale, np.float32))
    _constant(graph, inputs[1], np.array(zero, np.uint8))
    return [
        helper.make_node("QuantizeLinear", [name, *inputs], [f"{name}_uint8"]),
        helper.make_node("DequantizeLinear", [f"{name}_uint8", *inputs], [f"{name}_rounded"]),
    ]


def _weight(
    graph: onnx.GraphProto, name: str, rounded: Integers, scales: Floats, axis: int
) -> onnx.NodeProto:
    inputs = [f"{name}_int8", f"{name}_scale", f"{name}_zero"]
    _constant(graph, inputs[0], rounded)
    _constant(graph, inputs[1], scales)
    _constant(graph, inputs[2], np.zeros(len(scales), np.int8))
    return helper.make_node("DequantizeLinear", inputs, [f"{name}_rounded"], axis=axis)


def _constant(graph: onnx.GraphProto, name: str, values: npt.NDArray[Any]) -> None:
    graph.initializer.append(numpy_helper.from_array(values, name))


def _sort(graph: onnx.GraphProto, new: dict[str, list[onnx.NodeProto]]) -> None:
    """Put new nodes behind the tensors that they read, and drop constants that nothing reads."""
    nodes: list[onnx.NodeProto] = []

    def place(node: onnx.NodeProto) -> None:
        nodes.append(node)
        for name in node.output:
            for one in new.get(name, ()):
                place(one)

    made = {name for node in (*graph.node, *chain(*new.values())) for name in node.output}
    for node in (*chain(*(some for name, some in new.items() if name not in made)), *graph.node):
        place(node)
    read = {name for node in nodes for name in node.input}
    constants = [one for one in graph.initializer if one.name in read]
    for field, contents in ((graph.node, nodes), (graph.initializer, constants)):
        del field[:]
        field.extend(contents)
