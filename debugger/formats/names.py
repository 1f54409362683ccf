"""What smdebug's PyTorch hook calls a tensor, and what a recording calls it.

smdebug's names (smdebug/pytorch/hook.py) carry the class of the whole network in front of
parameters: `ResNet_fc.weight`, `gradient/ResNet_fc.weight`, `layer1.0.relu_output_1` (the second
output of a module in a step), `CrossEntropyLoss_output_0`, `scalar/accuracy`; a reduction of x is
`smdebug/reductions/abs_mean/x`. A recording says `fc.weight` and `layer1.0.relu`.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from debugger.records import ACTIVATIONS, GRADIENTS, INPUTS, LOSSES, WEIGHTS

SCALARS = "scalars"  # what save_scalar wrote; a recording has a record for each
_REDUCTION = re.compile(r"smdebug/reductions/(abs_)?([^/_]+)/(.+)", re.DOTALL)
_MODULE = re.compile(r"(.*)_(input|output)_(\d+)", re.DOTALL)
_LOSS = re.compile(r"[Ll]oss_(?!input).*output")  # smdebug's own
_PARAMETER = re.compile(r"(?:^|[._])(?:weight|bias)\w*$")


@dataclass(frozen=True)
class Name:
    """A tensor's collection and name in a recording."""

    collection: str
    name: str


@dataclass(frozen=True)
class Names:
    """How one job's tensors are called: `network` is the class of the whole network, "" unknown."""

    network: str
    listed: dict[str, str]  # tensor to collection, as collections.json has it

    @classmethod
    def of(cls, collections: dict[str, Iterable[str]]) -> "Names":
        """Read them out of the collections and their tensors."""
        listed: dict[str, str] = {}
        networks = set()
        for collection, tensors in collections.items():
            for tensor in tensors:
                if collection not in ("all", "default") or tensor not in listed:
                    listed[tensor] = collection
                if collection in ("weights", "biases", "gradients"):
                    networks.add(tensor.removeprefix("gradient/").partition("_")[0])
        return cls(networks.pop() if len(networks) == 1 else "", listed)

    def ours(self, tensor: str) -> Name:
        """Return what a recording calls a tensor of smdebug's."""
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


def theirs(collection: str, name: str, network: str) -> str:
    """Return what smdebug calls a recording's tensor."""
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
    """Return the collection that smdebug keeps a recording's tensor in, by its name there."""
    if collection == WEIGHTS and "bias" in tensor:
        return "biases"
    return collection


def reduction(tensor: str) -> tuple[str, str]:
    """Return a tensor's name and which reduction of it this is, "" for the tensor itself."""
    match = _REDUCTION.fullmatch(tensor)
    if not match:
        return tensor, ""
    absolute, kind, name = match.groups()
    return name, f"{absolute or ''}{kind}"


def reduced(tensor: str, kind: str) -> str:
    """Return the name of a reduction of a tensor."""
    return f"smdebug/reductions/{kind}/{tensor}"
