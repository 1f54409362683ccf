"""What is trained and how fast: frozen parts, parameter groups, the schedule."""

import math
from typing import Any

import torch
from torch import nn

from classifier import networks
from train.config import ConfigError, TrainConfig


def freeze(network: nn.Module, trainable: str) -> None:
    """Freeze all of the network but a part.

    Args:
        network: from `classifier.networks.build`.
        trainable: `head`, `all`, or a module's name: this module and all after it are trained.

    Raises:
        ConfigError: no module with parameters has this name; the message lists those near it.
    """
    head = networks.head_name(network)
    begin = {"all": "", "head": head}.get(trainable, trainable)
    modules = dict(network.named_modules())
    if begin not in modules or not any(True for _ in modules[begin].parameters()):
        without = f"module {trainable!r} has nothing to train"
        problem = without if begin in modules else f"no module {trainable!r} in this network"
        raise ConfigError(
            f"trainable: {problem}: `head`, `all`, or one of {_trainable(modules, begin)} "
            "(or a module inside one)"
        )
    reached = not begin
    for name, parameter in network.named_parameters():
        reached = reached or name.startswith(begin + ".")
        parameter.requires_grad_(reached or name.startswith(head + "."))


def _trainable(modules: dict[str, nn.Module], begin: str) -> str:
    """Return the modules with parameters in the nearest module around a name."""
    around = begin
    while around not in modules or not any(True for _ in modules[around].parameters()):
        around = around.rpartition(".")[0]
    return ", ".join(
        f"{around}.{name}".lstrip(".")
        for name, module in modules[around].named_children()
        if any(True for _ in module.parameters())
    )


def set_training_mode(network: nn.Module, *, freeze_batch_norm: bool) -> None:
    """Put the trained part into training mode; the frozen part stays in evaluation mode."""
    network.train()
    for module in network.modules():
        parameters = list(module.parameters())
        frozen = parameters and not any(parameter.requires_grad for parameter in parameters)
        norm = freeze_batch_norm and isinstance(module, nn.modules.batchnorm._BatchNorm)
        if frozen or norm:
            module.eval()


def build_optimizer(network: nn.Module, config: TrainConfig) -> torch.optim.Optimizer:
    """Return an optimizer with groups for head and backbone, each with and without weight decay.

    Each group's `peak` is its highest rate in the schedule.
    """
    head = networks.head_name(network) + "."
    modules = dict(network.named_modules())
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            module, _, own = name.rpartition(".")
            rate = config.learning_rate if name.startswith(head) else config.backbone_rate
            is_weight = _is_weight(modules[module], own, parameter) and "cpb_mlp" not in name
            decay = config.weight_decay if is_weight else 0.0
            groups.setdefault((rate, decay), []).append(parameter)
    settings = [
        {"params": parameters, "lr": rate, "peak": rate, "weight_decay": decay}
        for (rate, decay), parameters in groups.items()
    ]
    if config.optimizer == "adamw":
        return torch.optim.AdamW(settings, fused=True)
    return torch.optim.SGD(
        settings,
        lr=config.learning_rate,
        momentum=config.momentum,
        nesterov=config.momentum > 0,
        fused=True,  # one pass over the weights, on GPUs and CPUs alike
    )


def _is_weight(module: nn.Module, name: str, parameter: nn.Parameter) -> bool:
    """Whether weight decay is for this parameter of a module: a weight of a layer.

    Not biases, norms, position tables and biases, class tokens, layer and logit scales; and not
    the little networks that compute Swin v2's position biases (`cpb_mlp`).
    Source: Liu et al. 2022, "Swin Transformer V2", whose code lists them.
    """
    norms = (nn.modules.batchnorm._NormBase, nn.LayerNorm, nn.GroupNorm, nn.Embedding)
    return parameter.ndim > 1 and name.endswith("weight") and not isinstance(module, norms)


def head_group(optimizer: torch.optim.Optimizer, network: nn.Module) -> dict[str, Any]:
    """Return the group of the head's weights: its `lr` and `peak` are the head's rates."""
    weight = networks.head(network).weight
    groups: list[dict[str, Any]] = optimizer.param_groups
    return next(group for group in groups if any(one is weight for one in group["params"]))


def scale(optimizer: torch.optim.Optimizer, factor: float) -> None:
    """Set every group's rate to its peak times `factor`."""
    for group in optimizer.param_groups:
        group["lr"] = group["peak"] * factor


def set_rates(
    optimizer: torch.optim.Optimizer, config: TrainConfig, step: int, steps_per_epoch: int
) -> None:
    """Set every group's rate for `step`, counted from 0 over the whole job."""
    scale(optimizer, schedule(config, step, steps_per_epoch))


def schedule(config: TrainConfig, step: int, steps_per_epoch: int) -> float:
    """Return the fraction of the peak rate at `step`: linear warm-up, then cosine or constant.

    The head's own epochs and the epochs after them have a schedule each.
    """
    first = config.head_epochs * steps_per_epoch
    total = config.epochs * steps_per_epoch - first
    if step >= first:
        step -= first
    else:
        total = first
    warmup = config.warmup_epochs * steps_per_epoch
    if step < warmup:
        return (step + 1) / (warmup + 1)
    if config.schedule == "constant":
        return 1.0
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, total - warmup)))
