"""A network of each kind as ONNX: it exports, with torch's logits.

test_every_network.py shows that torchvision has no other kinds.
"""

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from classifier import networks
from classifier.exporting import maps
from classifier.exporting import network as as_onnx
from classifier.exporting.session import predictor
from serve.engines import onnx_file
from tests.classifier.kinds import SMALLEST, size

QUICK = "squeezenet1_1"  # the others are slow
HIDDEN = 64
WITH_MAPS = (
    *("densenet", "efficientnet", "googlenet", "inception", "mnasnet", "mobilenet_v2"),
    *("regnet", "resnet", "shufflenet", "squeezenet", "swin"),
)


def pixels(name: str) -> int:
    """Small pictures, of which the last feature maps have several places or the network allows."""
    if name.startswith(("alexnet", "vgg")):
        return 224  # their pooling must divide the feature maps
    return 64 if name.startswith(("squeezenet", "vit_b")) else size(name)


def narrow(network: nn.Module) -> None:
    """Make the hidden layers before the head of AlexNet and VGG small: they are most of both."""
    layers = network.classifier
    assert isinstance(layers, nn.Sequential)
    found = [(at, one) for at, one in enumerate(layers) if isinstance(one, nn.Linear)]
    (first, wide), (second, _), (head, last) = found
    layers[first] = nn.Linear(wide.in_features, HIDDEN)
    layers[second] = nn.Linear(HIDDEN, HIDDEN)
    layers[head] = nn.Linear(HIDDEN, last.out_features)


@pytest.mark.parametrize(
    "name", [n if n == QUICK else pytest.param(n, marks=pytest.mark.slow) for n in SMALLEST]
)
def test_a_network_exports_with_torchs_logits(name: str) -> None:
    torch.manual_seed(0)
    side = pixels(name)
    network = networks.build(name, 3, image_size=side)
    if name.startswith(("alexnet", "vgg")):
        narrow(network)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 0.5  # a variance of half or more: nothing is amplified
    for parameter in network.parameters():
        if parameter.ndim == 2 and not parameter.any():
            nn.init.normal_(parameter, std=0.1)  # the head of a vision transformer begins as zeros
    with torch.no_grad():
        network.train()(
            torch.randn(24 if side < 100 else 4, 3, side, side)
        )  # statistics, so that logits do not vanish
    network.eval().requires_grad_(False)
    model = as_onnx.export(network, side)
    for count in (1, 5):
        pictures = torch.randn(count, 3, side, side)
        with torch.inference_mode():
            expected = network(pictures).numpy()
        assert np.abs(expected).max() > 0
        found = predictor(model, flip=False)(pictures.numpy())
        # Relative to the logits, which are small in random networks.
        assert np.abs(found - expected).max() <= as_onnx.PARITY * np.abs(expected).max()
    graph = onnx.load_from_string(model)
    assert {node.domain for node in graph.graph.node} == {""}
    head = maps.head(model, network)
    onnx_file.check(model, name, side=side, has_maps=head is not None)  # serving reads it
    assert head == (f"{networks.head_name(network)}.weight" if name.startswith(WITH_MAPS) else None)


@pytest.mark.slow
def test_pooling_that_does_not_divide_the_maps_is_exported() -> None:
    network = networks.build("alexnet", 3, image_size=200).eval().requires_grad_(False)
    pictures = torch.randn(2, 3, 200, 200)
    with torch.inference_mode():
        expected = network(pictures).numpy()
    found = predictor(as_onnx.export(network, 200), flip=False)(pictures.numpy())
    assert np.abs(found - expected).max() <= 1e-4 * np.abs(expected).max()
