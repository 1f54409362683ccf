"""Converts tensor names between smdebug's PyTorch hook and a recording.

smdebug (smdebug/pytorch/hook.py) puts the class of the network in front of parameters:
`ResNet_fc.weight`, `gradient/ResNet_fc.weight`. Other names are `layer1.0.relu_output_1` (second
output of a module in a step), `CrossEntropyLoss_output_0` and `scalar/accuracy`. A reduction of x
is `smdebug/reductions/abs_mean/x`. A recording has `fc.weight` and `layer1.0.relu`.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from debugger.records import ACTIVATIONS, GRADIENTS, INPUTS, LOSSES, WEIGHTS

SCALARS = "scalars"  # written by save_scalar; a recording has Scalar records
_REDUCTION = re.compile(r"smdebug/reductions/(abs_)?([^/_]+)/(.+)", re.DOTALL)
_MODULE = re.compile(r"(.*)_(input|output)_(\d+)", re.DOTALL)
_LOSS = re.compile(r"[Ll]oss_(?!input).*output")  # the pattern of smdebug
_PARAMETER = re.compile(r"(?:^|[._])(?:weight|bias)\w*$")


@dataclass(frozen=True)
class Name:
    """Collection and name of a tensor in a recording."""

    collection: str
    name: str


@dataclass(frozen=True)
class Names:
    """The tensor names of a job; `network` is the class of its network ("" if unknown)."""

    network: str
    listed: dict[str, str]  # tensor to collection, from collections.json

    @classmethod
    def of(cls, collections: dict[str, Iterable[str]]) -> "Names":
        """Return the names of a job with these collections of tensors."""
        listed: dict[str, str] = {}
        networks = set()
        for collection, tensors in collections.items():
            for tensor in tensors:
                if collection not in ("all", "default") or tensor not in listed:
                    listed[tensor] = collection
                if collection in ("weights", "biases", "gradients"):
                    networks.add(tensor.removeprefix("gradient/").partition("_")[0])
        return cls(networks.pop() if len(networks) == 1 else "", listed)

    def to_recording(self, tensor: str) -> Name:
        """Return the name in a recording of a tensor of smdebug."""
        listed = self.listed.get(tensor, "default")
        if tensor.startswith("scalar/"):
            return Name(SCALARS, tensor.removeprefix("scalar/"))
        if listed == "losses" or _LOSS.search(tensor):
            return Name(LOSSES, tensor)
        if tensor.startswith("gradient/"):
            return Name(GRADIENTS, self._parameter(tensor.removeprefix("gradient/")))
        if match := _MODULE.fullmatch(tensor):
            module, way, count = match.groups()
            name = module if count == "0" else f"{module}:{count}"
            if way == "output":
                return Name(ACTIVATIONS, name)
            if self.network and module == self.network:
                return Name(INPUTS, "images" if count == "0" else f"images:{count}")
            return Name(listed, tensor)
        if listed in ("weights", "biases") or _PARAMETER.search(tensor):
            return Name(WEIGHTS, self._parameter(tensor))
        return Name(listed, tensor)

    def _parameter(self, tensor: str) -> str:
        return tensor.removeprefix(f"{self.network}_") if self.network else tensor


def to_smdebug(collection: str, name: str, network: str) -> str:
    """Return the name in smdebug of a tensor of a recording."""
    module, _, count = name.partition(":")
    if collection == GRADIENTS:
        return f"gradient/{network}_{name}"
    if collection == WEIGHTS:
        return f"{network}_{name}"
    if collection == ACTIVATIONS:
        return f"{module}_output_{count or 0}"
    if collection == INPUTS:
        return f"{network}_input_{count or 0}"
    return name


def collection_of(tensor: str, collection: str) -> str:
    """Return the smdebug collection of a tensor with this smdebug name."""
    if collection == WEIGHTS and "bias" in tensor:
        return "biases"
    return collection


def reduction(tensor: str) -> tuple[str, str]:
    """Return the tensor's name and its reduction ("" for the complete tensor)."""
    match = _REDUCTION.fullmatch(tensor)
    if not match:
        return tensor, ""
    absolute, kind, name = match.groups()
    return name, f"{absolute or ''}{kind}"


def reduced(tensor: str, kind: str) -> str:
    """Return the name of a reduction of a tensor."""
    return f"smdebug/reductions/{kind}/{tensor}"
