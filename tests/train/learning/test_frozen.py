"""A network split into two parts computes the same, and its frozen part is known."""

import pytest
import torch

from classifier import networks
from train.learning import frozen, optimizer

# One of each family whose last layers differ, and the number of modules in the second part.
FAMILIES = {
    "resnet18": 1,
    "alexnet": 7,
    "googlenet": 2,
    "squeezenet1_1": 2,
    "mobilenet_v3_small": 2,
    "densenet121": 1,
    "efficientnet_b0": 2,
    "swin_t": 1,
}


@pytest.mark.parametrize("architecture", FAMILIES)
def test_the_two_parts_equal_the_network_also_with_dropout(architecture: str) -> None:
    network = networks.build(architecture, 3)
    optimizer.freeze(network, "head")
    optimizer.set_training_mode(network, freeze_batch_norm=False)
    images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    torch.manual_seed(5)
    whole = network(images)
    front, tail = frozen.split(network)
    with torch.no_grad():
        features = front(images)
        assert torch.equal(features, front(images))  # no random layers
    torch.manual_seed(5)
    assert torch.equal(tail(features), whole)
    assert features.ndim == 2
    assert len(tail) == FAMILIES[architecture]


def test_trained_parameters_and_their_statistics_change() -> None:
    network = networks.build("resnet18", 3)
    optimizer.freeze(network, "head")
    assert frozen.only_head_is_trained(network)
    assert frozen.changing(network) == {"fc.weight", "fc.bias"}
    optimizer.freeze(network, "layer4")
    assert not frozen.only_head_is_trained(network)
    assert "layer4.0.bn1.running_mean" in frozen.changing(network)
    assert "layer3.0.bn1.running_mean" not in frozen.changing(network)
    optimizer.freeze(network, "all")
    assert frozen.changing(network) == set(network.state_dict())


def test_the_digest_depends_on_the_backbone_and_not_on_the_head() -> None:
    network = networks.build("resnet18", 3)
    optimizer.freeze(network, "head")
    before = frozen.digest(network)
    torch.nn.init.ones_(networks.head(network).weight)
    assert frozen.digest(network) == before
    network.get_buffer("bn1.running_mean")[0] += 1
    assert frozen.digest(network) != before
