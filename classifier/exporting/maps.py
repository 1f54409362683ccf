"""The last feature maps as a second output, for networks where they explain the logits exactly.

Such a network ends in feature maps, their mean over all places, and one linear layer. Then the
gradient of a logit by the maps is a row of the layer's weights, and Grad-CAM needs no gradients.
"""

import numpy as np
import onnx
from onnx import TensorProto, helper
from torch import nn

from classifier import networks
from classifier.exporting.session import LOGITS, MAPS, PIXELS, session
from classifier.transform import Floats

_TOLERANCE = 1e-4  # of the logits that are computed from the maps
# What can be before and after the linear layer: it changes no number.
_SAME_NUMBERS = {"Flatten", "Squeeze", "Reshape", "Identity", "Dropout"}
_MEANS = {"GlobalAveragePool", "ReduceMean"}


def add(model: bytes, network: nn.Module, pixels: Floats) -> bytes:
    """Return the model with the output `maps`, or as it is where there are none.

    Args:
        model: has the output `logits`.
        network: the same in torch.
        pixels: pictures to try it on, [B, 3, H, W].
    """
    graph = onnx.load_from_string(model)
    name = _before_the_mean(graph.graph)
    if name is None or name == PIXELS:
        return model
    _rename(graph.graph, name)
    graph.graph.output.append(helper.make_tensor_value_info(MAPS, TensorProto.FLOAT, None))
    found, logits = session(graph.SerializeToString()).run([MAPS, LOGITS], {PIXELS: pixels})
    if not _explain(np.asarray(found), np.asarray(logits), networks.head(network)):
        return model
    shape = ["batch", *found.shape[1:]]
    graph.graph.output.pop()
    graph.graph.output.append(helper.make_tensor_value_info(MAPS, TensorProto.FLOAT, shape))
    with_maps: bytes = graph.SerializeToString()
    return with_maps


def head(model: bytes, network: nn.Module) -> str | None:
    """Return the name of the linear head's weight if the model has the output `maps`."""
    outputs = [output.name for output in onnx.load_from_string(model).graph.output]
    return f"{networks.head_name(network)}.weight" if MAPS in outputs else None


def _before_the_mean(graph: onnx.GraphProto) -> str | None:
    """Return the tensor whose mean goes into the last linear layer."""
    makers = {output: node for node in graph.node for output in node.output}
    node = _upstream(makers.get(LOGITS), makers)
    if node is not None and node.op_type == "Add":  # a linear layer can be a product and a sum
        node = next((makers[name] for name in node.input if name in makers), None)
    if node is None or node.op_type not in ("Gemm", "MatMul"):
        return None
    node = _upstream(makers.get(node.input[0]), makers)
    return node.input[0] if node is not None and node.op_type in _MEANS else None


def _upstream(
    node: onnx.NodeProto | None, makers: dict[str, onnx.NodeProto]
) -> onnx.NodeProto | None:
    """Return the first node, from this one up, that changes numbers."""
    while node is not None and node.op_type in _SAME_NUMBERS:
        node = makers.get(node.input[0])
    return node


def _rename(graph: onnx.GraphProto, name: str) -> None:
    for node in graph.node:
        for names in (node.input, node.output):
            for place, one in enumerate(names):
                if one == name:
                    names[place] = MAPS


def _explain(found: Floats, logits: Floats, layer: nn.Linear) -> bool:
    """Whether the linear layer gives the logits for the mean of the maps."""
    if found.ndim != 4 or found.shape[1] != layer.in_features:
        return False
    expected = found.mean((2, 3)) @ layer.weight.detach().numpy().T
    if layer.bias is not None:
        expected = expected + layer.bias.detach().numpy()
    difference = np.abs(expected - logits).max() / max(1.0, np.abs(logits).max())
    return bool(difference <= _TOLERANCE)
