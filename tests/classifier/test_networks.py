"""Networks: a head for N classes, features within reach, the size of their own pretraining."""

import pytest
import torch

from classifier import networks
from classifier.architectures import ARCHITECTURES

# One of each family that the README names, and the odd ones with a head of another shape.
FAMILIES = [
    "resnet18",
    "resnet34",
    "resnet50",
    "resnet101",
    "resnext50",
    "wide_resnet50",
    "convnext_tiny",
    "efficientnet_v2_s",
    "mobilenet_v3_large",
    "vit_b_16",
    "densenet121",
    "googlenet",
    "squeezenet1_0",
    "swin_t",
    "vgg11",
    "regnet_y_400mf",
]


@pytest.mark.parametrize("name", FAMILIES)
def test_head_over_features_is_the_network(name: str) -> None:
    torch.manual_seed(0)
    size = 224 if name in ("vit_b_16", "swin_t", "vgg11") else 96
    network = networks.build(name, 7, image_size=size).eval()
    picture = torch.rand(2, 3, size, size)
    with torch.inference_mode():
        logits = network(picture)
        features = networks.features(network)(picture)
        again = networks.head(network)(features)
    assert logits.shape == (2, 7)
    assert features.shape == (2, networks.head(network).in_features)
    assert logits.std() > 0 or name.startswith("vit")  # torchvision starts ViT's head at zero
    torch.testing.assert_close(again, logits)


def test_features_share_the_networks_parameters() -> None:
    network = networks.build("mobilenet_v3_small", 3)
    backbone = networks.features(network)
    shared = {id(p) for p in network.parameters()} & {id(p) for p in backbone.parameters()}
    head = {id(p) for p in networks.head(network).parameters()}
    assert shared == {id(p) for p in network.parameters()} - head
    assert networks.head(network).out_features == 3  # taking features left the network alone


def test_a_vision_transformer_of_another_size() -> None:
    network = networks.build("vit_b_32", 2, image_size=64)
    assert network(torch.rand(1, 3, 64, 64)).shape == (1, 2)


def test_a_size_that_cannot_be_built_is_explained() -> None:
    with pytest.raises(ValueError, match="vit_b_16 cannot be built for 100 pixels"):
        networks.build("vit_b_16", 2, image_size=100)


def test_no_classes_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one class, not 0"):
        networks.build("resnet18", 0)


def test_presets_come_from_the_pretrained_weights() -> None:
    assert networks.preset("resnet50").crop == 224
    assert networks.preset("resnet50").resize == 256
    assert networks.preset("efficientnet_v2_s").crop == 384
    assert networks.preset("efficientnet_b3").interpolation == "bicubic"


@pytest.mark.parametrize("name", FAMILIES)
def test_a_blank_network_takes_the_weights_of_a_built_one(name: str) -> None:
    torch.manual_seed(0)
    built = networks.build(name, 3).eval()
    blank = networks.blank(name, 3).eval()
    blank.load_state_dict(built.state_dict(), assign=True)
    picture = torch.rand(1, 3, 224, 224)
    with torch.inference_mode():
        assert torch.equal(blank(picture), built(picture))


@pytest.mark.parametrize("name", [a for a in ARCHITECTURES if not a.startswith("regnet")])
def test_all_that_a_network_holds_is_among_its_weights(name: str) -> None:
    """Else something of a blank one would be without memory after they are loaded."""
    network = networks.blank(name, 3)
    held = dict(network.named_buffers()) | dict(network.named_parameters())
    assert held.keys() == network.state_dict().keys()
