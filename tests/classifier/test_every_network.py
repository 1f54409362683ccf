"""Every network of torchvision: built, trained for a step, saved, loaded, and replayed."""

from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import nn

from classifier import bundle, matching, networks, statedict
from classifier.architectures import ARCHITECTURES
from train.config import TrainConfig
from train.learning import optimizer

# Of families whose smallest network takes about a second; the others are slow.
QUICK = (
    *("googlenet", "mnasnet0_5", "mobilenet_v2", "mobilenet_v3_small", "regnet_x_400mf"),
    *("resnet18", "shufflenet_v2_x0_5", "squeezenet1_1"),
)


def size(name: str) -> int:
    """Nearly the least that a network takes: its last batch norms see one position."""
    special = {"inception_v3": 96, "maxvit_t": 224, "vit_h_14": 28, "alexnet": 64}
    return special.get(name, 32)


@pytest.fixture(autouse=True)
def quick_initialisation(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawing each number of the largest networks would take minutes: a few are repeated."""
    drawn = 0.02 * torch.randn(4099, generator=torch.Generator().manual_seed(0))

    def repeat(tensor: torch.Tensor, *_: object, **__: object) -> torch.Tensor:
        times = -(-tensor.numel() // len(drawn))
        with torch.no_grad():
            return tensor.copy_(drawn.repeat(times)[: tensor.numel()].view_as(tensor))

    for name in ("kaiming_uniform_", "kaiming_normal_", "normal_", "trunc_normal_", "uniform_"):
        monkeypatch.setattr(nn.init, name, repeat)


def step(network: nn.Module, trainable: str, pixels: int) -> None:
    """Train a part of the network for one step; nothing else may change."""
    config = TrainConfig(trainable="all", weights="none", learning_rate=1e-4)
    optimizer.freeze(network, trainable)
    optimizer.set_training_mode(network, freeze_batch_norm=False)
    tried = optimizer.build_optimizer(network, config)
    logits = network(torch.rand(2, 3, pixels, pixels))
    nn.functional.cross_entropy(logits, torch.tensor([0, 2])).backward()  # type: ignore[no-untyped-call]
    missing = [n for n, p in network.named_parameters() if p.requires_grad and p.grad is None]
    assert not missing
    # The gradients of random weights explode in batch norms of two numbers.
    nn.utils.clip_grad_norm_(network.parameters(), 1.0)
    tried.step()
    tried.zero_grad()


@pytest.mark.parametrize(
    "name",
    [n if n in QUICK else pytest.param(n, marks=pytest.mark.slow) for n in ARCHITECTURES],
)
def test_a_network_trains_and_comes_back_from_its_bundle(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    pixels = size(name)
    networks.check_size(name, pixels)
    network = networks.build(name, 3, image_size=pixels)
    before = [*networks.head(network).parameters()][-1].clone()  # MaxViT's has no bias
    for trainable in ("head", "all"):
        step(network, trainable, pixels)
    assert not torch.equal([*networks.head(network).parameters()][-1], before)
    description = bundle.Description(
        architecture=name,
        classes=("a", "b", "c"),
        folders=("a", "b", "c"),
        transform=networks.preset(name).at_size(pixels),
    )
    photo = Image.linear_gradient("L").convert("RGB").resize((pixels + 8, pixels + 16))
    bundle.save(bundle.make(network, description, [photo]), tmp_path)
    assert bundle.replay(bundle.load(tmp_path)) < 1e-5
    if name in QUICK:
        again = networks.blank(name, 3, image_size=pixels)
        match = matching.match(statedict.read(tmp_path / bundle.MODEL), again, with_head=True)
        assert match.notes == []
        assert match.state.keys() == again.state_dict().keys()
    (tmp_path / bundle.MODEL).unlink()  # up to 2.5 GB
