"""Networks: any torchvision classifier by name, its head for N classes, its features.

Every network built here ends in one `nn.Linear`, the head; its inputs are the features.
"""

import copy
import functools
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any

import torch
import torchvision
from torch import nn

from classifier import architectures
from classifier.architectures import ARCHITECTURES, canonical, registered
from classifier.transform import EvaluationTransform

# The attribute of the classifier, in each torchvision family.
_HEAD_PARTS = ("fc", "classifier", "head", "heads")


@dataclass(frozen=True)
class Architecture:
    """A network of another package: an entry point of the group `kennel.architectures` names it.

    Attributes:
        build: takes the number of classes and the image size in pixels; returns a module from
            float [B, 3, H, W] to logits [B, classes] with random weights. Its last layer is a
            linear one, `fc` or inside `classifier`, `head` or `heads`.
        transform: the evaluation transform of its pretrained weights.
    """

    build: Callable[[int, int], nn.Module]
    transform: EvaluationTransform = field(default_factory=EvaluationTransform)


def added(name: str) -> Architecture | None:
    """Return the architecture of another package, or None for one of torchvision's.

    Raises:
        ValueError: it does not load, or is something else.
    """
    if name in ARCHITECTURES:
        return None
    point = registered()[name]
    try:
        found = point.load()
    except Exception as error:
        raise ValueError(f"architecture {name}: {point.value} does not load ({error!r})") from error
    if not isinstance(found, Architecture):
        raise ValueError(
            f"architecture {name}: {point.value} is not a classifier.networks.Architecture"
        )
    return found


def build(architecture: str, classes: int, *, image_size: int | None = None) -> nn.Module:
    """Build a network with random weights and a head for `classes`.

    Args:
        architecture: a name or an alias (classifier.architectures).
        classes: number of outputs, at least 1.
        image_size: height and width of the input in pixels, for ViT and MaxViT, whose weights
            depend on it; None is their default.

    Returns:
        A module from float [B, 3, H, W] to logits [B, classes], in training mode.

    Raises:
        ValueError: unknown architecture, or an unsupported size.
    """
    name = canonical(architecture)
    if classes < 1:
        raise ValueError(f"a classifier needs at least one class, not {classes}")
    if other := added(name):
        built = other.build(classes, image_size or other.transform.crop)
        if (outputs := head(built).out_features) != classes:
            raise ValueError(f"architecture {name}: {outputs} outputs for {classes} classes")
        return built
    options: dict[str, Any] = {"weights": None, "num_classes": classes}
    if name in ("googlenet", "inception_v3"):
        # As torchvision's pretrained weights need it: inputs rescaled inside, no auxiliary heads.
        options |= {"aux_logits": False, "transform_input": True, "init_weights": True}
    if image_size:
        architectures.check_size(name, image_size)
    if name.startswith("vit_") and image_size:
        options["image_size"] = image_size
    if name == "maxvit_t" and image_size:
        options["input_size"] = (image_size, image_size)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=FutureWarning)  # GoogLeNet's
        try:
            network: nn.Module = torchvision.models.get_model(name, **options)
        except (ValueError, AssertionError) as error:
            raise ValueError(f"{name} cannot be built for {image_size} pixels: {error}") from error
    if name.startswith("squeezenet"):
        # Its own head is a convolution before a ReLU. As in the others, make it a linear layer.
        network.classifier = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.5), nn.Linear(512, classes)
        )
    if name.startswith("mnasnet"):
        network.__class__ = _MNASNet
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                # torchvision's 0.0003 is for runs of 100,000 steps. In a shorter one the statistics
                # stay those of before, and the validation is by chance.
                module.momentum = 0.1
    return network


class _MNASNet(torchvision.models.MNASNet):  # type: ignore[misc]
    """Loads states without metadata, such as those of safetensors files, as version 2."""

    def _load_from_state_dict(
        self, state: Any, prefix: str, local_metadata: dict[str, Any], *others: Any
    ) -> None:
        local_metadata = {"version": 2} | local_metadata
        super()._load_from_state_dict(state, prefix, local_metadata, *others)


def check_size(architecture: str, size: int) -> None:
    """Send blank pictures through a network as in training and in evaluation, without memory.

    Args:
        architecture: a name or an alias.
        size: height and width of the input in pixels.

    Raises:
        ValueError: it cannot take pictures of this size.
    """
    network = blank(architecture, 2, image_size=size).to("meta")
    try:
        try:
            _train_and_evaluate(network, torch.zeros(2, 3, size, size, device="meta"))
        except NotImplementedError:  # an operation that needs memory, of another package
            network = build(architecture, 2, image_size=size)
            _train_and_evaluate(network, torch.zeros(2, 3, size, size))
    except (RuntimeError, ValueError, AssertionError) as error:
        raise ValueError(
            f"{architecture} cannot take pictures of {size} pixels: {error}"
        ) from error


def _train_and_evaluate(network: nn.Module, pictures: torch.Tensor) -> None:
    with torch.no_grad():
        for training in (True, False):
            network.train(training)(pictures)


def blank(architecture: str, classes: int, *, image_size: int | None = None) -> nn.Module:
    """Build a network as `build` does, but without memory, for `load_state_dict(…, assign=True)`.

    This is faster: drawing random weights takes longer than reading a file.
    """
    try:
        with torch.device("meta"):
            return build(architecture, classes, image_size=image_size)
    except NotImplementedError:  # RegNet computes its widths with tensors, which need memory
        return build(architecture, classes, image_size=image_size)


def head_name(network: nn.Module) -> str:
    """Return the dotted name of the last linear layer."""
    linear: list[str] = [
        name
        for name, module in network.named_modules()
        if isinstance(module, nn.Linear) and name.split(".")[0] in _HEAD_PARTS
    ]
    if not linear:
        raise ValueError("the network has no linear head")
    return linear[-1]


def head(network: nn.Module) -> nn.Linear:
    """Return the last linear layer, [features] -> [classes]."""
    layer = network.get_submodule(head_name(network))
    assert isinstance(layer, nn.Linear)
    return layer


def features(network: nn.Module) -> nn.Module:
    """Return the network without its head: [B, 3, H, W] -> [B, features].

    It shares every parameter and buffer with `network`:
    `head(network)(features(network)(x)) == network(x)`.
    """
    *path, last = head_name(network).split(".")
    backbone = parent = _shallow(network)
    for name in path:
        parent._modules[name] = _shallow(parent.get_submodule(name))
        parent = parent.get_submodule(name)
    parent._modules[last] = nn.Identity()
    return backbone


def _shallow(module: nn.Module) -> nn.Module:
    twin = copy.copy(module)
    twin._modules = dict(module._modules)
    return twin


@functools.cache
def preset(architecture: str, file: str = "") -> EvaluationTransform:
    """Return the evaluation transform of the network's pretrained weights.

    Args:
        architecture: a name or an alias.
        file: the name of a file: one of torchvision's other weights can have another transform.
    """
    if other := added(canonical(architecture)):
        return other.transform
    known = {
        PurePath(one.url).name: one
        for one in torchvision.models.get_model_weights(canonical(architecture))
    }
    transforms = known.get(file, pretrained(architecture)).transforms()
    return EvaluationTransform(
        resize=transforms.resize_size[0],
        crop=transforms.crop_size[0],
        mean=tuple(transforms.mean),
        std=tuple(transforms.std),
        interpolation=transforms.interpolation.value,
    )


def pretrained(architecture: str) -> Any:
    """Return torchvision's entry of the network's pretrained weights: their URL and transforms.

    The first ImageNet-1k weights if there are several.

    Raises:
        ValueError: the network is not torchvision's.
    """
    weights = torchvision.models.get_model_weights(canonical(architecture))
    return weights["IMAGENET1K_V1"] if "IMAGENET1K_V1" in weights.__members__ else weights.DEFAULT
