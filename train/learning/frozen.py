"""A network with a frozen backbone in two parts: what never changes, and what is trained on it."""

import hashlib

import torch
from torch import nn

from classifier import networks

_DROPOUTS = (
    *(nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d),
    *(nn.AlphaDropout, nn.FeatureAlphaDropout),
)


class Tail(nn.Sequential):
    """The end of a network, from features [B, F] to logits [B, classes], always in float32.

    It is too small to gain from lower precision, and float32 needs no gradient scaling.
    """

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Return logits."""
        with torch.autocast(features.device.type, enabled=False):
            logits = features.float()
            for module in self:
                logits = module(logits)
            return logits


def split(network: nn.Module) -> tuple[nn.Module, Tail]:
    """Return front and tail; `tail(front(images))` is `network(images)`.

    The tail begins at the first dropout next to the head, or is the head alone, so that the front
    draws no random numbers. Both share every module with `network`.
    """
    path, _, last = networks.head_name(network).rpartition(".")
    siblings = list(network.get_submodule(path).named_children())
    names = [name for name, _ in siblings]
    upto = siblings[: names.index(last) + 1]
    drops = [place for place, (_, module) in enumerate(upto) if _is_dropout(module)]
    cut = upto[drops[0] :] if drops else upto[-1:]
    front = networks.features(network)  # the modules on the path to the head are copies
    parent = front.get_submodule(path)
    for name, _ in cut:
        parent.set_submodule(name, nn.Identity())
    return front.eval(), Tail(*(module for _, module in cut))


def _is_dropout(module: nn.Module) -> bool:
    return isinstance(module, _DROPOUTS) and module.p > 0


def only_head_is_trained(network: nn.Module) -> bool:
    """Whether nothing but the head will change."""
    head = networks.head_name(network) + "."
    return all(
        parameter.requires_grad == name.startswith(head)
        for name, parameter in network.named_parameters()
    )


def changing(network: nn.Module) -> set[str]:
    """Return the state-dict names that training changes: trained parameters and their buffers."""
    names: set[str] = set()
    for prefix, module in network.named_modules():
        own = dict(module.named_parameters(recurse=False))
        if any(parameter.requires_grad for parameter in own.values()):
            buffers = dict(module.named_buffers(recurse=False))
            names |= {f"{prefix}.{name}".lstrip(".") for name in (*own, *buffers)}
    return names


def digest(network: nn.Module) -> str:
    """Return the SHA-256 of the part of a network that training does not change."""
    found = hashlib.sha256()
    trained = changing(network)
    for name, value in network.state_dict().items():
        if name not in trained:
            found.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
            flat = value.detach().cpu().contiguous().reshape(-1)
            found.update(flat.view(torch.uint8).numpy())
    return found.hexdigest()
