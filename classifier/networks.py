"""Networks: any torchvision classifier by name, its head for N classes, its feature part.

Every network built here ends in one `nn.Linear`, the head; what feeds it are the features.
"""

import copy
import functools
import warnings
from typing import Any

import torch
import torchvision
from torch import nn

from classifier.architectures import canonical
from classifier.transform import EvaluationTransform

# The attribute under which each torchvision family keeps its classifier.
_HEAD_PARTS = ("fc", "classifier", "head", "heads")


def build(architecture: str, classes: int, *, image_size: int | None = None) -> nn.Module:
    """Build a network with random weights and a head for `classes`.

    Args:
        architecture: a torchvision name or an alias (classifier.architectures).
        classes: number of outputs, at least 1.
        image_size: height and width of the input in pixels; only vision transformers depend
            on it. Their own size when None.

    Returns:
        A module from float [B, 3, H, W] to logits [B, classes], in training mode.

    Raises:
        ValueError: unknown architecture, or a size that it cannot take.
    """
    name = canonical(architecture)
    if classes < 1:
        raise ValueError(f"a classifier needs at least one class, not {classes}")
    options: dict[str, Any] = {"weights": None, "num_classes": classes}
    if name in ("googlenet", "inception_v3"):
        # As with torchvision's own pretrained weights: inputs rescaled inside, no side heads.
        options |= {"aux_logits": False, "transform_input": True, "init_weights": True}
    if name.startswith("vit_") and image_size:
        options["image_size"] = image_size
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=FutureWarning)  # torchvision about GoogLeNet
        try:
            network: nn.Module = torchvision.models.get_model(name, **options)
        except (ValueError, AssertionError) as error:
            raise ValueError(f"{name} cannot be built for {image_size} pixels: {error}") from error
    if name.startswith("squeezenet"):
        # Its own head is a convolution before a ReLU; a linear one after pooling, like the rest.
        network.classifier = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.5), nn.Linear(512, classes)
        )
    return network


def blank(architecture: str, classes: int, *, image_size: int | None = None) -> nn.Module:
    """Build a network as `build` does, without memory: `load_state_dict(…, assign=True)` gives it.

    Drawing random weights takes longer than reading a file of others.
    """
    try:
        with torch.device("meta"):
            return build(architecture, classes, image_size=image_size)
    except NotImplementedError:  # RegNet computes its widths by tensors, which must have memory
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
def preset(architecture: str) -> EvaluationTransform:
    """Return the evaluation transform that the network's pretrained weights were measured with.

    Source: torchvision's weight metadata, the first ImageNet-1k weights where there are several.
    """
    weights = torchvision.models.get_model_weights(canonical(architecture))
    entry = weights["IMAGENET1K_V1"] if "IMAGENET1K_V1" in weights.__members__ else weights.DEFAULT
    given = entry.transforms()
    return EvaluationTransform(
        resize=given.resize_size[0],
        crop=given.crop_size[0],
        mean=tuple(given.mean),
        std=tuple(given.std),
        interpolation=given.interpolation.value,
    )
