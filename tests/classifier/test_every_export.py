"""Every network of torchvision as ONNX: which ones export, with torch's logits."""

from collections import defaultdict

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from classifier import networks
from classifier.architectures import ARCHITECTURES
from classifier.exporting import maps
from classifier.exporting import network as as_onnx
from classifier.exporting.network import ExportError
from classifier.exporting.session import predictor
from serve.engines import onnx_file
from tests.classifier.test_every_network import size

# Their weights do not fit into an ONNX file. They are served through torch.
NOT_EXPORTED = {"regnet_y_128gf", "vit_h_14"}

# The smallest network of each kind: others of a kind have other widths and depths, and no other
# modules (`test_no_network_has_parts_that_none_of_these_has`). QUICK ones are not slow.
QUICK = ("squeezenet1_1",)
SMALLEST = (
    *("alexnet", "convnext_tiny", "densenet121", "efficientnet_b0", "efficientnet_v2_s"),
    *("googlenet", "inception_v3", "maxvit_t", "mnasnet0_5", "mobilenet_v2", "mobilenet_v3_small"),
    *("regnet_x_400mf", "regnet_y_400mf", "resnet18", "resnet50", "shufflenet_v2_x0_5"),
    *("swin_t", "swin_v2_t", "vgg11", "vgg11_bn", "vit_b_32"),
)
WITH_MAPS = (
    *("densenet", "efficientnet", "googlenet", "inception", "mnasnet", "mobilenet_v2"),
    *("regnet", "resnet", "shufflenet", "squeezenet", "swin"),
)


def pixels(name: str) -> int:
    """Small pictures, of which the last feature maps have several places or the network allows."""
    if name.startswith(("alexnet", "vgg")):
        return 224  # their pooling must divide the feature maps
    return 64 if name.startswith(("squeezenet", "vit_b")) else size(name)


@pytest.mark.parametrize(
    "name", [*QUICK, *(pytest.param(one, marks=pytest.mark.slow) for one in SMALLEST)]
)
def test_a_network_exports_with_torchs_logits(name: str) -> None:
    torch.manual_seed(0)
    side = pixels(name)
    network = networks.build(name, 3, image_size=side)
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


def kind(network: nn.Module) -> tuple[str, frozenset[str]]:
    """Return what a network is made of."""
    return type(network).__name__, frozenset(type(one).__name__ for one in network.modules())


@pytest.mark.slow
def test_no_network_has_parts_that_none_of_these_has(monkeypatch: pytest.MonkeyPatch) -> None:
    def leave(tensor: torch.Tensor, *_: object, **__: object) -> torch.Tensor:
        return tensor  # memory that is not written to is not taken

    for name in ("kaiming_uniform_", "kaiming_normal_", "normal_", "trunc_normal_", "uniform_"):
        monkeypatch.setattr(nn.init, name, leave)
    tried: dict[str, set[str]] = defaultdict(set)
    refused = set()
    found = {}
    for name in ARCHITECTURES:
        network = networks.build(name, 3, image_size=pixels(name))
        family, parts = kind(network)
        found[name] = family, parts
        if name in (*QUICK, *SMALLEST):
            tried[family] |= parts
        try:
            as_onnx.check_bytes(network)
        except ExportError:
            refused.add(name)
    assert refused == NOT_EXPORTED
    assert {
        name: parts - tried[family] for name, (family, parts) in found.items()
    } == dict.fromkeys(ARCHITECTURES, frozenset())


@pytest.mark.slow
def test_pooling_that_does_not_divide_the_maps_is_exported() -> None:
    network = networks.build("alexnet", 3, image_size=200).eval().requires_grad_(False)
    pictures = torch.randn(2, 3, 200, 200)
    with torch.inference_mode():
        expected = network(pictures).numpy()
    found = predictor(as_onnx.export(network, 200), flip=False)(pictures.numpy())
    assert np.abs(found - expected).max() <= 1e-4 * np.abs(expected).max()
