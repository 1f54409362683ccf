"""A network in two halves is the same network, and what is frozen is known."""

import pytest
import torch

from classifier import networks
from train.learning import frozen, optimizer

# One of each family whose end is built in its own way.
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
def test_the_two_halves_are_the_whole_in_training_with_dropout_too(architecture: str) -> None:
    network = networks.build(architecture, 3)
    optimizer.freeze(network, "head")
    optimizer.set_training_mode(network, freeze_batch_norm=False)
    images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    torch.manual_seed(5)
    whole = network(images)
    front, tail = frozen.split(network)
    with torch.no_grad():
        features = front(images)
        assert torch.equal(features, front(images))  # nothing random is in it
    torch.manual_seed(5)
    assert torch.equal(tail(features), whole)
    assert features.ndim == 2
    assert len(tail) == FAMILIES[architecture]


def test_what_changes_is_what_is_trained_and_its_statistics() -> None:
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


def test_the_digest_tells_backbones_apart_and_not_heads() -> None:
    network = networks.build("resnet18", 3)
    optimizer.freeze(network, "head")
    before = frozen.digest(network)
    torch.nn.init.ones_(networks.head(network).weight)
    assert frozen.digest(network) == before
    network.get_buffer("bn1.running_mean")[0] += 1
    assert frozen.digest(network) != before
