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
from classifier.statedict import WeightsError
from pictures.text import printable

# Auxiliary heads of torchvision's GoogLeNet and Inception, for training from scratch only.
_AUXILIARY_HEADS = ("aux1.", "aux2.", "AuxLogits.")
_AVERAGED = re.compile(r"(?<![a-z])(ema|averaged?)(?![a-z])", re.IGNORECASE)
_COUNTER = "num_batches_tracked"  # of batch norm; older files lack it, and evaluation ignores it
_MOST_PREFIXES = 12  # names joined by dots in front of a tensor's own name


@dataclass
class Match:
    """Tensors by the network's own names, as float32; and what a user should know about them."""

    state: dict[str, torch.Tensor]
    notes: list[str] = field(default_factory=list)


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
    prefix, notes = _prefix(tensors, required - {f"{head}.weight", f"{head}.bias"})
    inside = {
        name.removeprefix(prefix): tensor
        for name, tensor in tensors.items()
        if name.startswith(prefix)
    }
    if with_head:
        notes += _rename_head(inside, head)
        rows, classes = inside.get(f"{head}.weight"), own[f"{head}.weight"].shape[0]
        if rows is not None and rows.ndim == 2 and len(rows) != classes:
            raise WeightsError(f"its head is of {len(rows)} classes, and {classes} are given")
    left_out = [name for name in inside if name.startswith(_AUXILIARY_HEADS)]
    usable = {name: tensor for name, tensor in inside.items() if name in own}
    notes += _interpolate(usable, own)
    top = head.split(".")[0] + "."
    others = (*_AUXILIARY_HEADS, head + ".") if with_head else (*_AUXILIARY_HEADS, top)
    unknown = [name for name in inside if name not in own and not name.startswith(others)]
    problems = _counted("missing", sorted(required - usable.keys()))
    problems += _counted("unknown", unknown)
    problems += _counted(
        "of another shape",
        [
            f"{name} {tuple(tensor.shape)} instead of {tuple(own[name].shape)}"
            for name, tensor in usable.items()
            if tensor.shape != own[name].shape
        ],
    )
    problems += _counted(
        "of another type",
        [
            f"{name} {tensor.dtype}"
            for name, tensor in usable.items()
            if not _plain(tensor, own[name])
        ],
    )
    if problems:
        where = f" (under {printable(prefix)!r})" if prefix else ""
        raise WeightsError("; ".join(problems) + where)
    left_out += [name for name in tensors if not name.startswith(prefix)]
    if left_out:
        notes.append(f"left out {len(left_out)} tensors: {_few(left_out)}")
    return Match({name: tensor.to(own[name].dtype) for name, tensor in usable.items()}, notes)


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
    # An average of the weights is what their author evaluates.
    best = sorted(
        (prefix for prefix, count in found.items() if count == most),
        key=lambda prefix: (not _AVERAGED.search(prefix), len(prefix), prefix),
    )
    chosen = best[0]
    if len(best) > 1 and _AVERAGED.search(chosen):
        return chosen, [f"the averaged weights under {printable(chosen)!r}"]
    for other in best[1:]:
        pairs = [(tensors.get(chosen + name), tensors.get(other + name)) for name in required]
        if any(a is None or b is None or not torch.equal(a, b) for a, b in pairs):
            raise WeightsError(
                f"weights of it are under {printable(chosen)!r} and under {printable(other)!r}: "
                "save the state dict of one of them"
            )
    return chosen, []


def _rename_head(inside: dict[str, torch.Tensor], head: str) -> list[str]:
    """Give the only linear layer in the head's place the head's name; return what was done.

    People replace `fc` by a sequence of a dropout and a linear layer.
    """
    if f"{head}.weight" in inside:
        return []
    above = head.rpartition(".")[0]
    below = [name for name in inside if name.startswith(head + ".")]
    weights = [name for name in below if name.endswith(".weight") and inside[name].ndim == 2]
    layer = weights[0].removesuffix(".weight") if len(weights) == 1 else ""
    if not below and {f"{above}.weight", f"{above}.bias"} <= inside.keys():
        layer = above  # a sequence with the head in it was replaced by a linear layer
    elif not layer or {*below} != {f"{layer}.weight", f"{layer}.bias"}:
        return []
    for part in ("weight", "bias"):
        inside[f"{head}.{part}"] = inside.pop(f"{layer}.{part}")
    return [f"its head is {layer}, used as {head}"]


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


def _plain(tensor: torch.Tensor, own: torch.Tensor) -> bool:
    """Whether a tensor's numbers can be used as those of `own`."""
    strided = tensor.layout is torch.strided and not tensor.is_quantized
    return strided and tensor.is_floating_point() == own.is_floating_point()


def _counted(what: str, names: list[str]) -> list[str]:
    return [f"{what} {len(names)} tensors ({_few(names)})"] if names else []


def _few(names: list[str]) -> str:
    more = ", …" if len(names) > 3 else ""
    return ", ".join(printable(name)[:100] for name in names[:3]) + more
