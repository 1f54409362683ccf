"""Networks: a head for N classes, access to the features, the transform of their pretraining."""

import pytest
import torch

from classifier import networks
from classifier.architectures import ARCHITECTURES, check_size

# The families that the README names, and those whose head has another shape.
FAMILIES = [
    *("resnet18", "mobilenet_v3_large", "squeezenet1_0", "vit_b_16", "regnet_y_400mf"),
    *(
        pytest.param(name, marks=pytest.mark.slow)
        for name in (
            *("resnet34", "resnet50", "resnet101", "resnext50", "wide_resnet50", "densenet121"),
            *("convnext_tiny", "efficientnet_v2_s", "googlenet", "swin_t", "vgg11"),
        )
    ),
]


def picture_size(name: str) -> int:
    return 224 if name in ("swin_t", "vgg11") else 96


@pytest.mark.parametrize("name", FAMILIES)
def test_the_head_of_the_features_is_the_network(name: str) -> None:
    torch.manual_seed(0)
    size = picture_size(name)
    network = networks.build(name, 7, image_size=size).eval()
    pictures = torch.rand(2, 3, size, size)
    with torch.inference_mode():
        logits = network(pictures)
        features = networks.features(network)(pictures)
        again = networks.head(network)(features)
    assert logits.shape == (2, 7)
    assert features.shape == (2, networks.head(network).in_features)
    assert logits.std() > 0 or name.startswith("vit")  # torchvision initialises ViT's head to zero
    torch.testing.assert_close(again, logits)


def test_features_share_the_parameters_of_the_network() -> None:
    network = networks.build("mobilenet_v3_small", 3)
    backbone = networks.features(network)
    shared = {id(p) for p in network.parameters()} & {id(p) for p in backbone.parameters()}
    head = {id(p) for p in networks.head(network).parameters()}
    assert shared == {id(p) for p in network.parameters()} - head
    assert networks.head(network).out_features == 3  # the network itself did not change


def test_a_vision_transformer_of_another_size() -> None:
    network = networks.build("vit_b_32", 2, image_size=64)
    assert network(torch.rand(1, 3, 64, 64)).shape == (1, 2)


def test_an_unsupported_size_is_explained() -> None:
    with pytest.raises(ValueError, match="vit_b_16 takes multiples of 16 pixels, not 100: try 96"):
        networks.build("vit_b_16", 2, image_size=100)


def test_zero_classes_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one class, not 0"):
        networks.build("resnet18", 0)


def test_presets_are_the_transforms_of_the_pretrained_weights() -> None:
    assert networks.preset("resnet50").crop == 224
    assert networks.preset("resnet50").resize == 256
    assert networks.preset("efficientnet_v2_s").crop == 384
    assert networks.preset("efficientnet_b3").interpolation == "bicubic"


@pytest.mark.parametrize("name", FAMILIES)
def test_a_blank_network_loads_the_weights_of_a_built_one(name: str) -> None:
    torch.manual_seed(0)
    size = picture_size(name)
    built = networks.build(name, 3, image_size=size).eval()
    blank = networks.blank(name, 3, image_size=size).eval()
    blank.load_state_dict(built.state_dict(), assign=True)
    picture = torch.rand(1, 3, size, size)
    with torch.inference_mode():
        assert torch.equal(blank(picture), built(picture))


QUICK = ("alexnet", "densenet121", "googlenet", "mnasnet0_5", "resnet18", "swin_t")


@pytest.mark.parametrize(
    "name",
    [
        name if name in QUICK else pytest.param(name, marks=pytest.mark.slow)
        for name in ARCHITECTURES
        if not name.startswith("regnet")
    ],
)
def test_all_tensors_of_a_network_are_in_its_state(name: str) -> None:
    """Or a tensor of a blank network would have no memory after its weights are loaded."""
    network = networks.blank(name, 3)
    tensors = dict(network.named_buffers()) | dict(network.named_parameters())
    assert tensors.keys() == network.state_dict().keys()


# The smallest size of each family, and one that it cannot take.
@pytest.mark.parametrize(
    ("name", "least", "wrong"),
    [
        ("alexnet", 63, 62),
        ("convnext_tiny", 32, 31),
        ("densenet121", 29, 28),
        ("inception_v3", 75, 74),
        ("squeezenet1_0", 21, 20),
        ("squeezenet1_1", 17, 16),
        ("vgg11_bn", 32, 31),
        ("vit_b_32", 32, 48),
        pytest.param("maxvit_t", 224, 256, marks=pytest.mark.slow),
        *(
            (name, 16, None)
            for name in ("googlenet", "mobilenet_v3_small", "resnet18", "swin_v2_t")
        ),
    ],
)
def test_the_sizes_that_a_network_takes(
    name: str, least: int, wrong: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The table without torch says what the network itself says."""
    networks.check_size(name, least)
    if wrong:
        with pytest.raises(ValueError, match=rf"{name} takes .* pixels, not {wrong}"):
            check_size(name, wrong)
        monkeypatch.setattr("classifier.architectures.check_size", lambda *_: None)
        with pytest.raises(ValueError, match=str(wrong)):
            networks.check_size(name, wrong)


@pytest.mark.slow
def test_maxvit_at_twice_its_size() -> None:
    assert networks.build("maxvit_t", 2, image_size=448).get_submodule("blocks")
    networks.check_size("maxvit_t", 448)


def test_mnasnet_loads_plain_tensors_and_learns_batch_norm_s_statistics() -> None:
    torch.manual_seed(0)
    network, again = networks.build("mnasnet0_5", 2), networks.build("mnasnet0_5", 2)
    again.load_state_dict(dict(network.state_dict()))  # without metadata, as from a bundle
    first, norm = network.get_submodule("layers.0"), network.get_submodule("layers.1")
    with torch.no_grad():
        seen = first(5 * torch.rand(4, 3, 32, 32))
        for _ in range(50):
            norm(seen)
    mean = norm.running_mean
    assert isinstance(mean, torch.Tensor)
    torch.testing.assert_close(mean, seen.mean((0, 2, 3)), rtol=0.05, atol=0.01)
