import copy
import re
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest
import torch
from torch import fx, nn
from torch.fx.experimental import optimization

from classifier import fusion, networks

DRAWS = torch.Generator().manual_seed(3)


def pictures(count: int, side: int, channels: int = 3) -> torch.Tensor:
    drawn = torch.randn(count, channels, side, side, generator=DRAWS)
    return drawn.contiguous(memory_format=torch.channels_last)


def traced(network: nn.Module) -> fx.GraphModule:
    found = optimization.fuse(network.eval()).requires_grad_(False)
    assert isinstance(found, fx.GraphModule)
    return found.to(memory_format=torch.channels_last)


def convolutions(network: nn.Module) -> list[fusion.Convolution]:
    return [one for one in network.modules() if isinstance(one, fusion.Convolution)]


def assert_close(ours: torch.Tensor, theirs: torch.Tensor, tolerance: float = 1e-5) -> None:
    assert (ours - theirs).abs().max() <= tolerance * theirs.abs().max()


@pytest.mark.parametrize(
    ("architecture", "sums_in_place"),
    [
        ("resnet18", 7),  # all blocks but the first, whose addend is pooled
        ("mobilenet_v3_small", 6),
        *(
            pytest.param(*case, marks=pytest.mark.slow)
            for case in (
                ("resnet50", 16),
                ("mobilenet_v2", 10),
                ("efficientnet_b0", 0),  # stochastic depth is between each result and its sum
                ("regnet_x_400mf", 22),
                ("densenet121", 0),
                ("shufflenet_v2_x1_0", 0),
                ("vgg11_bn", 0),
            )
        ),
    ],
)
def test_logits_are_unchanged_and_every_convolution_is_onednns(
    architecture: str, sums_in_place: int
) -> None:
    torch.manual_seed(0)
    network = networks.build(architecture, 5).eval()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None
            assert module.running_var is not None
            module.running_mean.normal_(0, 0.1, generator=DRAWS)
            module.running_var.uniform_(0.5, 1.5, generator=DRAWS)
    fused = traced(network)
    fusion.fuse(fused, pictures(1, 64), batch_sizes=(1, 4))
    assert not any(isinstance(module, nn.Conv2d) for module in fused.modules())
    assert sum(one.in_place for one in convolutions(fused)) == sums_in_place
    for count in (1, 4, 3):
        batch = pictures(count, 64)
        with torch.inference_mode():
            assert_close(fused(batch), network(batch))


@pytest.mark.skipif(
    not fusion.can_fuse(torch.bfloat16), reason="this processor has no bfloat16 operators"
)
def test_bfloat16_is_as_accurate_as_without_fusion() -> None:
    torch.manual_seed(0)
    exact = traced(networks.build("resnet18", 5))
    plain = copy.deepcopy(exact).bfloat16()
    fused = copy.deepcopy(plain)
    fusion.fuse(fused, pictures(1, 64).bfloat16(), batch_sizes=(4,))
    batch = pictures(4, 64)
    with torch.inference_mode():
        logits = exact(batch)
        assert_close(plain(batch.bfloat16()).float(), logits, 0.05)
        assert_close(fused(batch.bfloat16()).float(), logits, 0.05)


def test_each_layout_that_a_batch_size_needs_is_stored_once() -> None:
    convolution = nn.Conv2d(128, 128, 3, stride=2, padding=1)
    fused = fusion.Convolution(convolution, (128, 56, 56), (8, 1, 2))
    layouts = {}
    for size in (1, 2, 8):
        alone = fusion.Convolution(convolution, (128, 56, 56), (size,)).weight(size)
        layouts[size] = fusion.layout(alone)
        assert fusion.layout(fused.weight(size)) == layouts[size]
        assert torch.equal(fused.weight(size).to_dense(), convolution.weight)
    for size in (3, 8, 9):
        assert fused.weight(size) is fused.weight(8)
    assert len(dict(fused.named_buffers())) == 1 + len(set(layouts.values()))


@pytest.mark.skipif(
    torch.backends.cpu.get_cpu_capability() != "AVX2",
    reason="the layouts that oneDNN prefers are known for processors with AVX2 only",
)
def test_no_pass_converts_weights(capfd: pytest.CaptureFixture[str]) -> None:
    torch.manual_seed(0)
    fused = traced(networks.build("resnet18", 5))
    fusion.fuse(fused, pictures(1, 224), batch_sizes=(1, 2, 8))
    verbose: Callable[[int], AbstractContextManager[None]] = torch.backends.mkldnn.verbose
    passes = {}
    for size in (1, 2, 8):
        batch = pictures(size, 224)
        with torch.inference_mode():
            fused(batch)
            capfd.readouterr()
            with verbose(torch.backends.mkldnn.VERBOSE_ON):
                fused(batch)
        executed = re.findall(r"primitive,exec,cpu,(\w+)", capfd.readouterr().out)
        passes[size] = Counter(executed)
    assert [counted["convolution"] for counted in passes.values()] == [20, 20, 20]
    assert [counted["reorder"] for counted in passes.values()] == [0, 0, 0]


def test_gradients_are_those_of_the_plain_network() -> None:
    torch.manual_seed(0)
    fused = traced(networks.build("resnet18", 5))
    plain = copy.deepcopy(fused)
    fusion.fuse(fused, pictures(1, 64), batch_sizes=(1,))
    batch = pictures(2, 64).requires_grad_()
    (ours,) = torch.autograd.grad(fused(batch)[:, 1].sum(), batch)
    (theirs,) = torch.autograd.grad(plain(batch)[:, 1].sum(), batch)
    assert_close(ours, theirs, 1e-4)


class Block(nn.Module):
    """Convolutions; `end` selects what is done with the results of two of them."""

    def __init__(self, end: str) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3, padding=1)
        self.second = nn.Conv2d(4, 4, 3, padding=1)
        self.third = nn.Conv2d(4, 4, 1)
        self.reflecting = nn.Conv2d(3, 4, 3, padding=1, padding_mode="reflect")
        self.end = end

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return [B, 4 or 6, H, W]."""
        first: torch.Tensor = self.first(images)
        second: torch.Tensor = self.second(first)
        if self.end == "needed later":
            return (second + first).relu() * first
        if self.end == "an output's part":
            part = first[:, :2]
            return torch.cat([second + first, part], 1)
        if self.end == "of another size":
            return second + first.mean(2, keepdim=True)
        if self.end == "to itself":
            return second + second
        if self.end == "a number":
            return second + 2.0
        if self.end == "not needed":
            second = self.third(second)
        if self.end == "called twice":
            second = self.second(second)
        if self.end == "reflecting":
            first = self.reflecting(images)
        return second + first


@pytest.mark.parametrize(
    "end",
    [
        *("needed later", "an output's part", "of another size", "to itself", "a number"),
        *("called twice", "reflecting", "read by the convolution"),
    ],
)
def test_a_sum_does_not_overwrite_an_addend_that_is_used_elsewhere(end: str) -> None:
    torch.manual_seed(0)
    block = Block(end)
    fused = traced(block)
    fusion.fuse(fused, pictures(1, 8), batch_sizes=(2,))
    assert convolutions(fused)
    assert not any(one.in_place for one in convolutions(fused))
    batch = pictures(2, 8)
    with torch.inference_mode():
        assert_close(fused(batch), block(batch))


def test_a_sum_overwrites_an_addend_that_nothing_else_uses() -> None:
    torch.manual_seed(0)
    block = Block("not needed")
    fused = traced(block)
    fusion.fuse(fused, pictures(1, 8), batch_sizes=(2,))
    assert [one.in_place for one in convolutions(fused)] == [False, False, True]
    batch = pictures(2, 8)
    with torch.inference_mode():
        assert_close(fused(batch), block(batch))
