"""A traced network's convolutions as oneDNN runs them best: on processors, without gradients.

The weights lie as oneDNN reads them, which depends on how many pictures come together; it would
else lay them out anew in every pass. What follows a convolution, a sum and an activation, is done
while its numbers are still at hand.

Source: what PyTorch's Inductor does with a frozen network, by the same operators and without a
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
    """What the operators call it, its numbers, and how it is computed without them."""

    name: str | None
    function: Callable[[torch.Tensor], torch.Tensor]
    numbers: tuple[float, ...] = ()


_NONE = Activation(None, lambda images: images)
_ACTIVATIONS = {
    **dict.fromkeys((nn.ReLU, F.relu, torch.relu), Activation("relu", F.relu)),
    **dict.fromkeys((nn.ReLU6, F.relu6), Activation("hardtanh", F.relu6, (0.0, 6.0))),
    **dict.fromkeys((nn.SiLU, F.silu), Activation("swish", F.silu)),
    **dict.fromkeys((nn.Hardswish, F.hardswish), Activation("hardswish", F.hardswish)),
    **dict.fromkeys((nn.Sigmoid, torch.sigmoid), Activation("sigmoid", torch.sigmoid)),
}


class Convolution(nn.Module):
    """A convolution, then an addend where it gets one, then an activation where it has one.

    Args:
        convolution: padded with zeros by numbers of pixels.
        shape: of an input, [C, H, W].
        batch_sizes: numbers of inputs to lay the weights out for, once for each layout that they
            ask for; others do as well, and laying out anew may take them as long as computing.
    """

    def __init__(
        self, convolution: nn.Conv2d, shape: Sequence[int], batch_sizes: Sequence[int]
    ) -> None:
        super().__init__()
        padding = [int(pixels) for pixels in convolution.padding]
        stride, dilation = list(convolution.stride), list(convolution.dilation)
        self._numbers = (padding, stride, dilation, convolution.groups)
        weight, bias = convolution.weight.detach().to_mkldnn(), convolution.bias
        lay_out: Callable[..., torch.Tensor] = torch._C._nn.mkldnn_reorder_conv2d_weight
        self.bias: torch.Tensor | None
        self.register_buffer("bias", None if bias is None else bias.detach())
        names: dict[bytes, str] = {}  # of the buffers, by layout
        self._laid_out: list[tuple[int, str]] = []  # the largest batch, and the buffer
        for size in sorted(batch_sizes):
            weights = lay_out(weight, *self._numbers, [size, *shape])
            name = names.setdefault(layout(weights), f"weight_{size}")
            if not hasattr(self, name):
                self.register_buffer(name, weights)
            self._laid_out.append((size, name))
        self.activation = _NONE
        self.in_place = False  # the sum takes the addend's memory

    def forward(self, images: torch.Tensor, addend: torch.Tensor | None = None) -> torch.Tensor:
        """Return [B, C, H, W] for [B, C', H', W'], and the addend's size is the result's."""
        if torch.is_grad_enabled():
            return self._with_gradients(images, addend)
        operators = torch.ops.mkldnn
        name, numbers = self.activation.name, self.activation.numbers
        weights = (self.weight(len(images)), self.bias, *self._numbers)
        result: torch.Tensor
        if addend is None:
            result = operators._convolution_pointwise(images, *weights, name or "none", numbers, "")
        elif self.in_place:
            result = operators._convolution_pointwise_.binary(
                addend, images, *weights, "add", 1.0, name, numbers, ""
            )
        else:
            result = operators._convolution_pointwise.binary(
                images, addend, *weights, "add", 1.0, name, numbers, ""
            )
        return result

    def weight(self, batch_size: int) -> torch.Tensor:
        """Return the weights as they are laid out for a batch of that size."""
        most = self._laid_out[-1][1]
        name = next((name for size, name in self._laid_out if batch_size <= size), most)
        return self.get_buffer(name)

    def _with_gradients(self, images: torch.Tensor, addend: torch.Tensor | None) -> torch.Tensor:
        """Return the same by operators that have gradients."""
        padding, stride, dilation, groups = self._numbers
        weight = self.weight(len(images)).to_dense()
        result = F.conv2d(images, weight, self.bias, stride, padding, dilation, groups)
        return self.activation.function(result if addend is None else result + addend)


def layout(weights: torch.Tensor) -> bytes:
    """Return what tells the order in memory of oneDNN's weights from any other."""
    serialized: torch.Tensor = torch.ops.mkldnn._get_mkldnn_serialized_md(weights)
    return serialized.numpy().tobytes()


def can_fuse(precision: torch.dtype) -> bool:
    """Say whether this processor has oneDNN's operators in a precision."""
    if not torch._C._has_mkldnn:
        return False
    return precision is torch.float32 or (
        precision is torch.bfloat16 and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    )


def fuse(network: fx.GraphModule, example: torch.Tensor, batch_sizes: Sequence[int]) -> None:
    """Put a `Convolution` in the place of each, with what follows it.

    Args:
        network: in evaluation mode, on the processor, channels last.
        example: an input, [1, 3, H, W], in its precision.
        batch_sizes: to lay the weights out for.
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
            _take_in(network, node, fused)
    _save_memory(network)
    network.delete_all_unused_submodules()
    network.recompile()


def _can_be_packed(module: nn.Conv2d) -> bool:
    return module.padding_mode == "zeros" and not isinstance(module.padding, str)


def _take_in(network: fx.GraphModule, node: fx.Node, fused: Convolution) -> None:
    """Have a convolution's node do what only it leads to: a sum, an activation."""
    follower = _only_user(node)
    activates = _activation(network, follower)
    if follower is not None and not activates and follower.target in (operator.add, operator.iadd):
        addends = [one for one in follower.all_input_nodes if one is not node]
        if len(addends) != 1 or _shape(addends[0]) != _shape(node):
            return
        node.args = (node.args[0], addends[0])
        _replace(follower, node)
        activates = _activation(network, follower := _only_user(node))
    if follower is not None and activates:
        fused.activation = activates
        _replace(follower, node)


def _only_user(node: fx.Node) -> fx.Node | None:
    return next(iter(node.users)) if len(node.users) == 1 else None


def _activation(network: fx.GraphModule, node: fx.Node | None) -> Activation | None:
    if node is None or len(node.all_input_nodes) != 1:
        return None
    module = _module(network, node)
    return _ACTIVATIONS.get(node.target if module is None else type(module))


def _replace(follower: fx.Node, node: fx.Node) -> None:
    """Have a node stand where its only follower stands."""
    follower.prepend(node)
    follower.replace_all_uses_with(node)
    node.meta = follower.meta
    node.graph.erase_node(follower)


def _save_memory(network: fx.GraphModule) -> None:
    """Let sums take the memory of addends that nothing else needs by then."""
    places = {node: place for place, node in enumerate(network.graph.nodes)}
    for node in network.graph.nodes:
        module = _module(network, node)
        if not isinstance(module, Convolution) or len(node.args) == 1:
            continue
        addend = node.args[1]
        # Convolutions keep no view of what they read, and return memory of their own.
        module.in_place = (
            addend is not node.args[0]
            and isinstance(_module(network, addend), Convolution)
            and all(
                places[user] <= places[node] and isinstance(_module(network, user), Convolution)
                for user in addend.users
            )
        )


def _module(network: fx.GraphModule, node: fx.Node) -> nn.Module | None:
    return network.get_submodule(str(node.target)) if node.op == "call_module" else None


def _shape(node: fx.Node) -> tuple[int, ...]:
    return tuple(node.meta["tensor_meta"].shape)
