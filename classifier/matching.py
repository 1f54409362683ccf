"""Matches the tensors of a file with a network, by their names.

They are found inside the dictionaries and under the prefixes that are often around them, by which
names the network has.
"""

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import nn
from torchvision.models.vision_transformer import interpolate_embeddings

from classifier import networks
from classifier.others import foreign
from classifier.statedict import WeightsError, same
from pictures.text import printable

# Auxiliary heads of torchvision's GoogLeNet and Inception, for training from scratch only.
_AUXILIARY_HEADS = ("aux1.", "aux2.", "AuxLogits.")
_AVERAGED = re.compile(r"(?<![a-z])(ema|averaged?)(?![a-z])", re.IGNORECASE)
_COUNTER = "num_batches_tracked"  # of batch norm; older files lack it, and evaluation ignores it
_MOST_PREFIXES = 12  # names joined by dots in front of a tensor's own name


@dataclass
class Match:
    """Tensors by the network's own names, as float32; and what a user should know about them.

    `package` is whose names the file has, if not torchvision's. `others` are the tensors outside
    of the network.
    """

    state: dict[str, torch.Tensor]
    notes: list[str] = field(default_factory=list)
    package: str = ""
    others: dict[str, torch.Tensor] = field(default_factory=dict)


def match(
    tensors: Mapping[str, torch.Tensor], network: nn.Module, *, with_head: bool = False
) -> Match:
    """Find a network's tensors among those of a file.

    Nothing may be missing, of another shape, or next to the network's own tensors without being
    one. What has another prefix is left out, and counted in the notes.

    Args:
        tensors: from `read`.
        network: from `networks.build`.
        with_head: also the head; otherwise it is left out, because it is of other classes.

    Raises:
        WeightsError: they are of another network; the message names and counts what differs.
    """
    head = networks.head_name(network)
    own = {
        name: tensor
        for name, tensor in network.state_dict().items()
        if with_head or not name.startswith(head + ".")
    }
    required = {name for name in own if not name.endswith(_COUNTER)}
    tensors, package = foreign.translate(tensors, required)
    prefix, notes = _prefix(tensors, required - {f"{head}.weight", f"{head}.bias"})
    inside = {
        name.removeprefix(prefix): tensor
        for name, tensor in tensors.items()
        if name.startswith(prefix)
    }
    if with_head:
        notes += _rename_head(inside, head, has_bias=f"{head}.bias" in own)
    left_out = [name for name in inside if name.startswith(_AUXILIARY_HEADS)]
    usable = {
        name: tensor
        for name, tensor in inside.items()
        # Who casts a whole state dict casts the counters too.
        if name in own and not (name.endswith(_COUNTER) and tensor.is_floating_point())
    }
    notes += _interpolate(usable, own)
    top = head.split(".")[0] + "."
    elsewhere = [*_AUXILIARY_HEADS]
    if not with_head:
        elsewhere.append(top)
    elif f"{head}.weight" not in usable:  # next to a weight, others change what its layer computes
        elsewhere.append(head + ".")
    unknown = [name for name in inside if name not in own and not name.startswith((*elsewhere,))]
    rows, classes = usable.get(f"{head}.weight"), len(own.get(f"{head}.weight", ()))
    if rows is not None and rows.ndim == 2 and len(rows) != classes and not unknown:
        problem = f"its head is of {len(rows)} classes, and {classes} are given"
        if (len(rows), classes) == (1, 2):
            problem += (
                f": its output, with a sigmoid, is of the second class; save {head}.weight and "
                f"{head}.bias with zeros for the first class before it"
            )
        raise WeightsError(problem)
    missing = required - usable.keys()
    problems = _counted("missing", sorted(missing)) + _counted("unknown", unknown)
    if missing and missing <= {f"{head}.weight", f"{head}.bias"}:
        problems.append(_other_head(tensors, inside, head, own[f"{head}.weight"].shape))
    problems += _unlike(usable, own)
    state = {name: tensor.to(own[name].dtype) for name, tensor in usable.items() if not problems}
    problems += _counted(
        "not of finite numbers",
        [name for name, tensor in state.items() if not torch.isfinite(tensor).all()],
    )
    if problems:
        where = f" (under {printable(prefix)!r})" if prefix else ""
        hints = foreign.hints(missing, unknown, inside)
        raise WeightsError(": ".join(("; ".join(problems) + where, *hints)))
    outside = {name: one for name, one in tensors.items() if not name.startswith(prefix)}
    left_out += outside
    if left_out:
        # The many of an optimiser would hide the few that can matter.
        sizes = Counter(name.split(".")[0] for name in left_out)
        left_out.sort(key=lambda name: sizes[name.split(".")[0]])
        notes.append(f"left out {len(left_out)} tensors: {_few(left_out)}")
    return Match(state, notes, package, outside)


def _prefix(tensors: Mapping[str, torch.Tensor], required: set[str]) -> tuple[str, list[str]]:
    """Return the prefix under which most of the required names are.

    Raises:
        WeightsError: all of them are under several prefixes, with other numbers.
    """
    found: Counter[str] = Counter()
    for name in tensors:
        parts = name.split(".")
        for place in range(min(len(parts), _MOST_PREFIXES)):
            if (rest := ".".join(parts[place:])) in required:
                found[name[: len(name) - len(rest)]] += 1
    if not found:
        return "", []
    most = max(found.values())
    is_whole = most == len(required)
    # An average of the weights is what their author evaluates.
    best = sorted(
        (prefix for prefix, count in found.items() if count == most),
        key=lambda prefix: (not _AVERAGED.search(prefix), len(prefix), prefix),
    )
    chosen = best[0]
    if len(best) > 1 and _AVERAGED.search(chosen):
        return chosen, [f"the averaged weights under {printable(chosen)!r}"]
    if len(best) > 1 and not is_whole:  # such as the names of one layer inside another network
        return "", []
    for other in best[1:]:
        if not all(same(tensors[chosen + name], tensors[other + name]) for name in required):
            raise WeightsError(
                f"weights of it are under {printable(chosen)!r} and under {printable(other)!r}: "
                "save the state dict of one of them"
            )
    return chosen, []


def _rename_head(inside: dict[str, torch.Tensor], head: str, *, has_bias: bool) -> list[str]:
    """Give the only linear layer in the head's place the head's name; return what was done.

    People replace `fc` by a sequence of a dropout and a linear layer. Without a bias it gets zeros.
    """
    notes = []
    if f"{head}.weight" not in inside:
        notes = _only_linear(inside, head)
    weight = inside.get(f"{head}.weight")
    lacks = has_bias and f"{head}.bias" not in inside
    if weight is not None and weight.ndim == 2 and lacks:
        inside[f"{head}.bias"] = torch.zeros(len(weight))
        notes.append("its head has no bias: zeros")
    return notes


def _only_linear(inside: dict[str, torch.Tensor], head: str) -> list[str]:
    above = head.rpartition(".")[0]
    below = [name for name in inside if name.startswith(head + ".")]
    weights = [name for name in below if name.endswith(".weight") and inside[name].ndim == 2]
    layer = weights[0].removesuffix(".weight") if len(weights) == 1 else ""
    if not below and above and f"{above}.weight" in inside:
        layer = above  # a sequence with the head in it was replaced by a linear layer
    elif not layer or not {*below} <= {f"{layer}.weight", f"{layer}.bias"}:
        return []
    for part in ("weight", "bias"):
        if f"{layer}.{part}" in inside:
            inside[f"{head}.{part}"] = inside.pop(f"{layer}.{part}")
    return [f"its head is {layer}, used as {head}"]


def _unlike(usable: Mapping[str, torch.Tensor], own: Mapping[str, torch.Tensor]) -> list[str]:
    """Return which tensors have another shape or type than the network's."""
    shapes = [
        f"{name} {tuple(tensor.shape)} instead of {tuple(own[name].shape)}"
        for name, tensor in usable.items()
        if tensor.shape != own[name].shape
    ]
    types = [
        f"{name} {kind}"
        for name, tensor in usable.items()
        if (kind := _other_type(tensor, own[name]))
    ]
    return _counted("of another shape", shapes) + _counted("of another type", types)


def _other_head(
    tensors: Mapping[str, torch.Tensor],
    inside: Mapping[str, torch.Tensor],
    head: str,
    shape: torch.Size,
) -> str:
    """Return what there is instead of a head of this shape."""
    below = [name for name in inside if name.startswith(head + ".")]
    if below:
        return f"its head is of {_few(below)}, and Kennel's is one linear layer"
    near = [
        name
        for name, tensor in tensors.items()
        if tensor.shape == shape and name.endswith("weight")  # and not an optimiser's
    ]
    if near:
        return f"its head can be {_few(near)}: if so, save it as {head}.weight next to the others"
    return f"it has no head for {shape[0]} classes"


def _interpolate(usable: dict[str, torch.Tensor], own: Mapping[str, torch.Tensor]) -> list[str]:
    """Fit the position table of a ViT to another picture size; return what was done."""
    name, kernel = "encoder.pos_embedding", own.get("conv_proj.weight")
    theirs, ours = usable.get(name), own.get(name)
    if theirs is None or ours is None or kernel is None or theirs.shape == ours.shape:
        return []
    if theirs.ndim != 3 or theirs.shape[0] != 1 or theirs.shape[2] != ours.shape[2]:
        return []
    before, after = (round((table.shape[1] - 1) ** 0.5) for table in (theirs, ours))
    if before**2 + 1 != theirs.shape[1]:
        return []
    patch = kernel.shape[-1]
    usable[name] = interpolate_embeddings(
        after * patch,
        patch,
        {name: theirs.float()},
    )[name]
    return [f"its {before} x {before} positions are interpolated to {after} x {after}"]


def _other_type(tensor: torch.Tensor, own: torch.Tensor) -> str:
    """Return why a tensor's numbers cannot be used as those of `own`; empty if they can."""
    if type(tensor) is not torch.Tensor:
        return type(tensor).__name__  # such as DTensor, of one part
    if tensor.device.type != "cpu":
        return "without numbers"  # on torch's device `meta`
    if tensor.layout is not torch.strided or tensor.is_quantized:
        return f"{tensor.dtype} {'quantized' if tensor.is_quantized else 'sparse'}"
    return "" if tensor.is_floating_point() == own.is_floating_point() else str(tensor.dtype)


def _counted(what: str, names: list[str]) -> list[str]:
    return [f"{what} {len(names)} tensors ({_few(names)})"] if names else []


def _few(names: list[str]) -> str:
    more = ", …" if len(names) > 3 else ""
    return ", ".join(printable(name)[:100] for name in names[:3]) + more
