"""Tensors in a few numbers: right, in every type and layout, and no graph is broken for them."""

import copy
import math
from contextlib import nullcontext

import numpy as np
import pytest
import torch
from torch import nn

from debugger.records import ACTIVATIONS, GRADIENTS, INPUTS, WEIGHTS, Statistics
from train.recording.statistics import Table
from train.recording.tensors import TensorProbe

ALL = (WEIGHTS, GRADIENTS, ACTIVATIONS, INPUTS)


def reduced(tensor: torch.Tensor) -> Statistics:
    table = Table()
    table.add("x", tensor)
    table.fetch()
    return table.read()["x"]


def by_numpy(values: np.ndarray) -> tuple[float, ...]:
    good = values[np.isfinite(values)]
    return (
        *(good.mean(), good.std(), good.min(), good.max()),
        *(np.sqrt((good**2).sum()), np.abs(good).mean()),
        *((values == 0).mean(), 1 - len(good) / values.size, values.size),
    )


def as_tuple(found: Statistics) -> tuple[float, ...]:
    return (
        *(found.mean, found.std, found.min, found.max, found.l2, found.mean_abs),
        *(found.zeros, found.nonfinite, found.size),
    )


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16, torch.float16, torch.float64])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("broken", [False, True])
def test_statistics_are_numpys(
    kind: torch.dtype, layout: torch.memory_format, broken: bool
) -> None:
    torch.manual_seed(0)
    tensor = (torch.randn(3, 4, 7, 5) * 2 + 1).relu().to(kind).to(memory_format=layout)
    if broken:
        tensor[0, 0, 0, 0], tensor[1, 2, 3, 4], tensor[2, 0, 1, 1] = math.nan, math.inf, -math.inf
    expected = by_numpy(tensor.double().numpy())
    assert as_tuple(reduced(tensor)) == pytest.approx(expected, rel=1e-5, abs=1e-7)


def test_a_small_spread_around_a_large_mean_is_not_lost() -> None:
    values = 1000 + torch.arange(8.0) * 1e-3
    assert reduced(values).std == pytest.approx(
        values.double().std(unbiased=False).item(), rel=0.02
    )


def test_nothing_finite_is_not_a_number() -> None:
    found = reduced(torch.full((4,), math.nan))
    assert found.nonfinite == 1
    assert math.isnan(found.mean)
    assert math.isnan(found.max)


class Net(nn.Module):
    """Every kind of layer that has figures of its own; the ReLU is used twice, in place."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3)
        self.norm = nn.BatchNorm2d(8)
        self.relu = nn.ReLU(inplace=True)
        self.sigmoid = nn.Sigmoid()
        self.tanh = nn.Tanh()
        self.drop = nn.Dropout(0.5)
        self.head = nn.Linear(8, 4)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        found = self.relu(self.norm(self.conv(images)))
        found = self.relu(found.mean((2, 3)) - 0.1)
        scores: torch.Tensor = self.head(self.drop(self.tanh(self.sigmoid(found * 4))))
        return scores


def step(
    network: nn.Module,
    called: nn.Module,
    optimizer: torch.optim.Optimizer,
    look: TensorProbe | None,
    precision: torch.dtype | None = None,
) -> dict[str, dict[str, Statistics]]:
    """Take a training step as the loop does; return what was seen by collection."""
    images = torch.randn(16, 3, 12, 12).to(memory_format=torch.channels_last)
    looking = look.forward(nullcontext, lambda act: act()) if look else nullcontext()
    enabled = precision is not None
    with looking, torch.autocast("cpu", precision or torch.bfloat16, enabled=enabled):
        loss = called(images).float().square().mean()
    loss.backward()
    if look:
        look.before_optimizer()
    optimizer.step()
    if look:
        look.after_optimizer()
        look.fetch()
    optimizer.zero_grad(set_to_none=True)
    return {name: dict(values) for name, values in look.read()} if look else {}


def made() -> tuple[Net, torch.optim.Optimizer]:
    torch.manual_seed(1)
    network = Net().to(memory_format=torch.channels_last)
    return network, torch.optim.SGD(network.parameters(), 0.1)


@pytest.mark.parametrize("precision", [None, torch.bfloat16, torch.float16])
def test_all_collections_are_seen_in_every_precision(precision: torch.dtype | None) -> None:
    network, optimizer = made()
    before = {name: one.detach().clone() for name, one in network.named_parameters()}
    seen = step(network, network, optimizer, TensorProbe(network, ALL, ""), precision)
    assert set(seen) == set(ALL)
    names = ["conv", "norm", "relu", "relu:2", "sigmoid", "tanh", "head"]
    assert list(seen[ACTIVATIONS]) == names
    assert seen[ACTIVATIONS]["relu"].dead is not None
    assert seen[ACTIVATIONS]["tanh"].saturated == 0
    # Batch norm's own output was seen before the ReLU wrote over it.
    assert seen[ACTIVATIONS]["norm"].min < 0
    assert seen[ACTIVATIONS]["relu"].min == 0
    for name, parameter in network.named_parameters():
        now = parameter.detach()
        then = before[name].norm().item()
        update = (now - before[name]).norm().item() / then if then else None  # norm.bias is 0
        assert seen[WEIGHTS][name].change == (update and pytest.approx(update, rel=1e-4))
        assert seen[WEIGHTS][name].l2 == pytest.approx(now.norm().item(), rel=1e-4)


def test_dead_and_saturated_channels_are_counted() -> None:
    network, optimizer = made()
    with torch.no_grad():
        network.norm.bias[:6] = -100  # six of eight channels are never active
        network.tanh.register_forward_pre_hook(lambda _, given: (given[0] * 1e4,))
    seen = step(network, network, optimizer, TensorProbe(network, ALL, ""))[ACTIVATIONS]
    assert seen["relu"].dead == 0.75
    assert seen["tanh"].saturated == 1


def test_what_is_frozen_has_no_gradients() -> None:
    network, optimizer = made()
    network.conv.requires_grad_(False)
    seen = step(network, network, optimizer, TensorProbe(network, ALL, ""))
    assert list(seen[GRADIENTS]) == list(seen[WEIGHTS])
    assert not any(name.startswith("conv") for name in seen[GRADIENTS])
    assert "conv" in seen[ACTIVATIONS]


def test_no_hook_stays_on_the_network() -> None:
    network, optimizer = made()
    look = TensorProbe(network, ALL, "")
    step(network, network, optimizer, look)
    assert not any(
        module._forward_hooks or module._forward_pre_hooks for module in network.modules()
    )
    copy.deepcopy(network)


class Graphs:
    """A compiler that runs graphs as they are and counts them."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, graph: torch.fx.GraphModule, _: object) -> object:
        self.count += 1
        return graph.forward


def test_a_compiled_networks_graph_stays_whole() -> None:
    torch._dynamo.reset()
    plain, plain_optimizer = made()
    network, optimizer = made()
    graphs = Graphs()
    compiled: nn.Module = torch.compile(network, backend=graphs)  # type: ignore[assignment]
    for number in range(7):
        torch.manual_seed(100 + number)
        look = TensorProbe(network, ALL, "") if number % 3 == 0 else None
        seen = step(network, compiled, optimizer, look)
        assert bool(seen) == (look is not None)
        assert not look or "relu:2" in seen[ACTIVATIONS]
        torch.manual_seed(100 + number)
        step(plain, plain, plain_optimizer, None)
    assert graphs.count == 1  # one graph, compiled once
    ours, theirs = network.state_dict(), plain.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


class Odd(nn.Module):
    """Its output is of a kind that cannot be reduced."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images.to_sparse()


def test_what_fails_inside_a_hook_reaches_its_guard_alone() -> None:
    network = nn.Sequential(Odd())
    caught: list[Exception] = []

    def guard(act: object) -> None:
        assert callable(act)
        try:
            act()
        except Exception as error:
            caught.append(error)

    with TensorProbe(network, (ACTIVATIONS,), "").forward(nullcontext, guard):
        output = network(torch.eye(3))
    assert output.is_sparse
    assert len(caught) == 1


@pytest.mark.parametrize("scaled", [True, False])
def test_a_step_that_float16_passes_over_shows_no_gradients(scaled: bool) -> None:
    network, _ = made()
    network(torch.randn(4, 3, 12, 12)).sum().backward()
    assert network.head.weight.grad is not None
    network.head.weight.grad[0, 0] = math.inf
    look = TensorProbe(network, (GRADIENTS,), "", scaled=scaled)
    look.before_optimizer()
    look.fetch()
    assert [name for name, _ in look.read()] == ([] if scaled else [GRADIENTS])
