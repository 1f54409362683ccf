import copy
import functools
import threading
from typing import Any

import pytest
import torch
from torch import fx, nn

from classifier import inference, networks
from train.learning import batch_norm

CPU = torch.device("cpu")


@functools.cache
def _trained() -> nn.Module:
    torch.manual_seed(0)
    network = networks.build("resnet18", 5)
    with torch.no_grad():
        for _ in range(3):
            network(torch.randn(4, 3, 64, 64))
    return network.eval()


def trained() -> nn.Module:
    """A network whose batch norm has non-default statistics."""
    return copy.deepcopy(_trained())


def pictures(count: int) -> torch.Tensor:
    drawn = torch.randn(count, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    return drawn.to(memory_format=torch.channels_last)


def prepared(network: nn.Module, precision: torch.dtype = torch.float32) -> fx.GraphModule:
    return inference.prepare(network, CPU, precision)


def assert_same(ours: nn.Module, theirs: nn.Module) -> None:
    batch = pictures(4)
    with torch.inference_mode():
        expected = theirs(batch)
        assert (ours(batch) - expected).abs().max() <= 1e-5 * expected.abs().max()


def types(network: nn.Module) -> set[type]:
    return {type(module) for module in network.modules()}


def test_the_copy_gives_the_same_logits_and_has_no_batch_norm() -> None:
    network = trained()
    ours = prepared(network)
    assert_same(ours, network)
    assert nn.BatchNorm2d not in types(ours)


def test_the_network_itself_does_not_change() -> None:
    network = trained().train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    prepared(network, torch.bfloat16)
    assert network.training
    assert all(parameter.requires_grad for parameter in network.parameters())
    after = network.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())


def test_the_copy_has_no_hooks_even_if_they_cannot_be_copied() -> None:
    network = trained()
    lock, seen = threading.Lock(), []

    def hook(module: nn.Module, *_: Any) -> None:
        with lock:
            seen.append(module)

    for module in network.modules():
        module.register_forward_hook(hook)
        module.register_forward_pre_hook(hook)
    ours = prepared(network)
    with torch.inference_mode():
        ours(pictures(2))
        assert not seen
        network(pictures(2))
    assert seen


@pytest.mark.parametrize("device_type", ["cpu", "cuda"])
def test_synchronised_batch_norm_is_folded_too(device_type: str) -> None:
    plain, network = trained(), trained()
    device = torch.device(device_type)
    network = batch_norm.synchronise(network, device)
    assert nn.BatchNorm2d not in types(network)
    before = types(network)
    ours = prepared(network)
    assert_same(ours, plain)
    assert types(network) == before
    assert not any(isinstance(one, nn.modules.batchnorm._NormBase) for one in ours.modules())
