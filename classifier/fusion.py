"""Replaces the convolutions of a traced network by oneDNN's: on processors, without gradients.

oneDNN prefers a weight layout that depends on the batch size, and converts any other layout in
every pass. Here weights are converted once. The sum and the activation after a convolution are
computed together with it, while its results are in the cache.

Source: PyTorch's Inductor does the same with a frozen network, with the same operators but with a
compiler (torch._inductor.fx_passes.mkldnn_fusion).
"""

import operator
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import fx, nn
from torch.fx.passes.shape_prop import ShapeProp


@dataclass(frozen=True)
class Activation:
    """Its name in oneDNN's operators, its parameters, and the plain PyTorch function."""

    name: str | None
    function: Callable[[torch.Tensor], torch.Tensor]
    parameters: tuple[float, ...] = ()


_NONE = Activation(None, lambda images: images)
_ACTIVATIONS = {
    **dict.fromkeys((nn.ReLU, F.relu, torch.relu), Activation("relu", F.relu)),
    **dict.fromkeys((nn.ReLU6, F.relu6), Activation("hardtanh", F.relu6, (0.0, 6.0))),
    **dict.fromkeys((nn.SiLU, F.silu), Activation("swish", F.silu)),
    **dict.fromkeys((nn.Hardswish, F.hardswish), Activation("hardswish", F.hardswish)),
    **dict.fromkeys((nn.Sigmoid, torch.sigmoid), Activation("sigmoid", torch.sigmoid)),
}


class Convolution(nn.Module):
    """A convolution, then optionally the sum with an addend, then optionally an activation.

    Args:
        convolution: padded with zeros, by numbers of pixels.
        shape: of an input, [C, H, W].
        batch_sizes: sizes to lay out the weights for; sizes with the same layout share memory.
            Other sizes work too, but the conversion can take as long as the computation.
    """

    def __init__(
        self, convolution: nn.Conv2d, shape: Sequence[int], batch_sizes: Sequence[int]
    ) -> None:
        super().__init__()
        padding = [int(pixels) for pixels in convolution.padding]
        stride, dilation = list(convolution.stride), list(convolution.dilation)
        self._geometry = (padding, stride, dilation, convolution.groups)
        weight, bias = convolution.weight.detach().to_mkldnn(), convolution.bias
        lay_out: Callable[..., torch.Tensor] = torch._C._nn.mkldnn_reorder_conv2d_weight
        self.bias: torch.Tensor | None
        self.register_buffer("bias", None if bias is None else bias.detach())
        names: dict[bytes, str] = {}  # buffer names by layout
        self._laid_out: list[tuple[int, str]] = []  # the largest batch size, and its buffer
        for size in sorted(batch_sizes):
            weights = lay_out(weight, *self._geometry, [size, *shape])
            name = names.setdefault(layout(weights), f"weight_{size}")
            if not hasattr(self, name):
                self.register_buffer(name, weights)
            self._laid_out.append((size, name))
        self.activation = _NONE
        self.in_place = False  # the sum overwrites the addend

    def forward(self, images: torch.Tensor, addend: torch.Tensor | None = None) -> torch.Tensor:
        """Return [B, C, H, W] for [B, C', H', W']; the addend has the shape of the result."""
        if torch.is_grad_enabled():
            return self._with_gradients(images, addend)
        operators = torch.ops.mkldnn
        name, parameters = self.activation.name, self.activation.parameters
        weights = (self.weight(len(images)), self.bias, *self._geometry)
        result: torch.Tensor
        if addend is None:
            result = operators._convolution_pointwise(
                images, *weights, name or "none", parameters, ""
            )
        elif self.in_place:
            result = operators._convolution_pointwise_.binary(
                addend, images, *weights, "add", 1.0, name, parameters, ""
            )
        else:
            result = operators._convolution_pointwise.binary(
                images, addend, *weights, "add", 1.0, name, parameters, ""
            )
        return result

    def weight(self, batch_size: int) -> torch.Tensor:
        """Return the weights in the layout for a batch size."""
        largest = self._laid_out[-1][1]
        name = next((name for size, name in self._laid_out if batch_size <= size), largest)
        return self.get_buffer(name)

    def _with_gradients(self, images: torch.Tensor, addend: torch.Tensor | None) -> torch.Tensor:
        """Compute the same with operators that have gradients."""
        padding, stride, dilation, groups = self._geometry
        weight = self.weight(len(images)).to_dense()
        result = F.conv2d(images, weight, self.bias, stride, padding, dilation, groups)
        return self.activation.function(result if addend is None else result + addend)


def layout(weights: torch.Tensor) -> bytes:
    """Return oneDNN's description of the layout of weights; equal layouts have equal bytes."""
    serialized: torch.Tensor = torch.ops.mkldnn._get_mkldnn_serialized_md(weights)
    return serialized.numpy().tobytes()


def can_fuse(precision: torch.dtype) -> bool:
    """Return whether oneDNN's operators support a precision on this processor."""
    if not torch._C._has_mkldnn:
        return False
    return precision is torch.float32 or (
        precision is torch.bfloat16 and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    )


def fuse(network: fx.GraphModule, example: torch.Tensor, batch_sizes: Sequence[int]) -> None:
    """Replace each convolution, and the sum and activation after it, by a `Convolution`.

    Args:
        network: in evaluation mode, on the processor, channels last.
        example: an input, [1, 3, H, W], in its precision.
        batch_sizes: sizes to lay out the weights for.
    """
    with torch.inference_mode():
        ShapeProp(network).propagate(example)
    graph = network.graph
    called = Counter(node.target for node in graph.nodes if node.op == "call_module")
    for node in list(graph.nodes):
        module = _module(network, node)
        if isinstance(module, nn.Conv2d) and called[node.target] == 1 and _can_be_packed(module):
            fused = Convolution(module, _shape(node.args[0])[1:], batch_sizes)
            network.set_submodule(node.target, fused)
            _absorb(network, node, fused)
    _sum_in_place(network)
    network.delete_all_unused_submodules()
    network.recompile()


def _can_be_packed(module: nn.Conv2d) -> bool:
    return module.padding_mode == "zeros" and not isinstance(module.padding, str)


def _absorb(network: fx.GraphModule, node: fx.Node, fused: Convolution) -> None:
    """Let a convolution also compute the sum and the activation that use only its result."""
    follower = _only_user(node)
    activation = _activation(network, follower)
    if follower is not None and not activation and follower.target in (operator.add, operator.iadd):
        addends = [one for one in follower.all_input_nodes if one is not node]
        if len(addends) != 1 or _shape(addends[0]) != _shape(node):
            return
        node.args = (node.args[0], addends[0])
        _replace(follower, node)
        activation = _activation(network, follower := _only_user(node))
    if follower is not None and activation:
        fused.activation = activation
        _replace(follower, node)


def _only_user(node: fx.Node) -> fx.Node | None:
    return next(iter(node.users)) if len(node.users) == 1 else None


def _activation(network: fx.GraphModule, node: fx.Node | None) -> Activation | None:
    if node is None or len(node.all_input_nodes) != 1:
        return None
    module = _module(network, node)
    return _ACTIVATIONS.get(node.target if module is None else type(module))


def _replace(follower: fx.Node, node: fx.Node) -> None:
    """Move a node to the position of its only user, and remove the user."""
    follower.prepend(node)
    follower.replace_all_uses_with(node)
    node.meta = follower.meta
    node.graph.erase_node(follower)


def _sum_in_place(network: fx.GraphModule) -> None:
    """Let sums overwrite addends that nothing else uses afterwards."""
    positions = {node: position for position, node in enumerate(network.graph.nodes)}
    for node in network.graph.nodes:
        module = _module(network, node)
        if not isinstance(module, Convolution) or len(node.args) == 1:
            continue
        addend = node.args[1]
        # A convolution returns new memory and keeps no view of its input.
        module.in_place = (
            addend is not node.args[0]
            and isinstance(_module(network, addend), Convolution)
            and all(
                positions[user] <= positions[node]
                and isinstance(_module(network, user), Convolution)
                for user in addend.users
            )
        )


def _module(network: fx.GraphModule, node: fx.Node) -> nn.Module | None:
    return network.get_submodule(str(node.target)) if node.op == "call_module" else None


def _shape(node: fx.Node) -> tuple[int, ...]:
    return tuple(node.meta["tensor_meta"].shape)
