"""Statistics of tensors are right in every type and layout, and leave compiled graphs whole."""

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
def test_statistics_equal_numpys(
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


def test_statistics_without_finite_values_are_not_a_number() -> None:
    found = reduced(torch.full((4,), math.nan))
    assert found.nonfinite == 1
    assert math.isnan(found.mean)
    assert math.isnan(found.max)


class Net(nn.Module):
    """A network with every kind of layer that has its own statistics; one ReLU is used twice."""

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
    probe: TensorProbe | None,
    precision: torch.dtype | None = None,
) -> dict[str, dict[str, Statistics]]:
    """Take a training step as the loop does; return the statistics by collection."""
    images = torch.randn(16, 3, 12, 12).to(memory_format=torch.channels_last)
    probing = probe.forward(nullcontext, lambda act: act()) if probe else nullcontext()
    enabled = precision is not None
    with probing, torch.autocast("cpu", precision or torch.bfloat16, enabled=enabled):
        loss = called(images).float().square().mean()
    loss.backward()
    if probe:
        probe.before_optimizer()
    optimizer.step()
    if probe:
        probe.after_optimizer()
        probe.fetch()
    optimizer.zero_grad(set_to_none=True)
    return {name: dict(values) for name, values in probe.read()} if probe else {}


def build() -> tuple[Net, torch.optim.Optimizer]:
    torch.manual_seed(1)
    network = Net().to(memory_format=torch.channels_last)
    return network, torch.optim.SGD(network.parameters(), 0.1)


@pytest.mark.parametrize("precision", [None, torch.bfloat16, torch.float16])
def test_all_collections_are_read_in_every_precision(precision: torch.dtype | None) -> None:
    network, optimizer = build()
    before = {name: one.detach().clone() for name, one in network.named_parameters()}
    found = step(network, network, optimizer, TensorProbe(network, ALL, ""), precision)
    assert set(found) == set(ALL)
    names = ["conv", "norm", "relu", "relu:2", "sigmoid", "tanh", "head"]
    assert list(found[ACTIVATIONS]) == names
    assert found[ACTIVATIONS]["relu"].dead is not None
    assert found[ACTIVATIONS]["tanh"].saturated == 0
    # The output of batch norm was read before the ReLU overwrote it.
    assert found[ACTIVATIONS]["norm"].min < 0
    assert found[ACTIVATIONS]["relu"].min == 0
    for name, parameter in network.named_parameters():
        now = parameter.detach()
        then = before[name].norm().item()
        update = (now - before[name]).norm().item() / then if then else None  # norm.bias is 0
        assert found[WEIGHTS][name].change == (update and pytest.approx(update, rel=1e-4))
        assert found[WEIGHTS][name].l2 == pytest.approx(now.norm().item(), rel=1e-4)


def test_dead_and_saturated_channels_are_counted() -> None:
    network, optimizer = build()
    with torch.no_grad():
        network.norm.bias[:6] = -100  # six of eight channels are never active
        network.tanh.register_forward_pre_hook(lambda _, given: (given[0] * 1e4,))
    found = step(network, network, optimizer, TensorProbe(network, ALL, ""))[ACTIVATIONS]
    assert found["relu"].dead == 0.75
    assert found["tanh"].saturated == 1


def test_frozen_parameters_have_no_gradients() -> None:
    network, optimizer = build()
    network.conv.requires_grad_(False)
    found = step(network, network, optimizer, TensorProbe(network, ALL, ""))
    assert list(found[GRADIENTS]) == list(found[WEIGHTS])
    assert not any(name.startswith("conv") for name in found[GRADIENTS])
    assert "conv" in found[ACTIVATIONS]


def test_no_hook_remains_on_the_network() -> None:
    network, optimizer = build()
    probe = TensorProbe(network, ALL, "")
    step(network, network, optimizer, probe)
    assert not any(
        module._forward_hooks or module._forward_pre_hooks for module in network.modules()
    )
    copy.deepcopy(network)


class Graphs:
    """A backend of torch.compile that runs graphs unchanged and counts them."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, graph: torch.fx.GraphModule, _: object) -> object:
        self.count += 1
        return graph.forward


def test_the_graph_of_a_compiled_network_stays_whole() -> None:
    torch._dynamo.reset()
    plain, plain_optimizer = build()
    network, optimizer = build()
    graphs = Graphs()
    compiled: nn.Module = torch.compile(network, backend=graphs)  # type: ignore[assignment]
    for number in range(7):
        torch.manual_seed(100 + number)
        probe = TensorProbe(network, ALL, "") if number % 3 == 0 else None
        found = step(network, compiled, optimizer, probe)
        assert bool(found) == (probe is not None)
        assert not probe or "relu:2" in found[ACTIVATIONS]
        torch.manual_seed(100 + number)
        step(plain, plain, plain_optimizer, None)
    assert graphs.count == 1  # one graph, compiled once
    ours, theirs = network.state_dict(), plain.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


class SparseOutput(nn.Module):
    """A module whose output cannot be reduced."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images.to_sparse()


def test_an_error_in_a_hook_reaches_only_its_guard() -> None:
    network = nn.Sequential(SparseOutput())
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
def test_gradients_of_a_step_that_float16_skips_are_not_recorded(scaled: bool) -> None:
    network, _ = build()
    network(torch.randn(4, 3, 12, 12)).sum().backward()
    assert network.head.weight.grad is not None
    network.head.weight.grad[0, 0] = math.inf
    probe = TensorProbe(network, (GRADIENTS,), "", scaled=scaled)
    probe.before_optimizer()
    probe.fetch()
    assert [name for name, _ in probe.read()] == ([] if scaled else [GRADIENTS])
