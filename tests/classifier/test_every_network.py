"""Every network of torchvision: all are built, and one of each kind is used.

A network of each kind is trained for a step, saved, loaded, and replayed.
"""

from collections import defaultdict
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import nn

from classifier import bundle, matching, networks, statedict
from classifier.architectures import ARCHITECTURES
from classifier.exporting import network as as_onnx
from classifier.exporting.network import ExportError
from tests.classifier.kinds import SMALLEST, kind, leave, size
from train.config import TrainConfig
from train.learning import optimizer

# They take about a second; the others are slow.
QUICK = (
    *("googlenet", "mnasnet0_5", "mobilenet_v2", "mobilenet_v3_small", "regnet_x_400mf"),
    *("resnet18", "shufflenet_v2_x0_5", "squeezenet1_1"),
)
# Their weights do not fit into an ONNX file. They are served through torch.
NOT_EXPORTED = {"regnet_y_128gf", "vit_h_14"}

INITIALISATIONS = ("kaiming_uniform_", "kaiming_normal_", "normal_", "trunc_normal_", "uniform_")


@pytest.fixture
def quick_initialisation(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawing each number of the largest networks would take minutes: a few are repeated."""
    drawn = 0.02 * torch.randn(4099, generator=torch.Generator().manual_seed(0))

    def repeat(tensor: torch.Tensor, *_: object, **__: object) -> torch.Tensor:
        times = -(-tensor.numel() // len(drawn))
        with torch.no_grad():
            return tensor.copy_(drawn.repeat(times)[: tensor.numel()].view_as(tensor))

    for name in INITIALISATIONS:
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
    [n if n in QUICK else pytest.param(n, marks=pytest.mark.slow) for n in SMALLEST],
)
def test_a_network_trains_and_comes_back_from_its_bundle(
    name: str, quick_initialisation: None, tmp_path: Path
) -> None:
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


@pytest.mark.slow
def test_a_bundle_of_over_2_gib_comes_back(tmp_path: Path) -> None:
    network = networks.blank("vit_h_14", 3, image_size=28).to_empty(device="cpu")
    with torch.no_grad():
        for number, tensor in enumerate(network.state_dict().values()):
            tensor.fill_((number % 7 - 3) / 100)
    description = bundle.Description(
        architecture="vit_h_14",
        classes=("a", "b", "c"),
        folders=("a", "b", "c"),
        transform=networks.preset("vit_h_14").at_size(28),
    )
    photo = Image.linear_gradient("L").convert("RGB").resize((36, 44))
    bundle.save(bundle.make(network, description, [photo]), tmp_path)
    assert (tmp_path / bundle.MODEL).stat().st_size > 2**31
    loaded = bundle.load(tmp_path)
    assert bundle.replay(loaded) < 1e-5
    expected = network.state_dict()
    assert all(
        torch.equal(one, expected[name]) for name, one in loaded.network.state_dict().items()
    )
    (tmp_path / bundle.MODEL).unlink()


@pytest.mark.slow
def test_no_network_has_parts_that_none_of_these_has(monkeypatch: pytest.MonkeyPatch) -> None:
    """And each has features and a head. Without memory: the largest would take 2.5 GB."""
    for name in INITIALISATIONS:
        monkeypatch.setattr(nn.init, name, leave)
    tried: dict[str, set[str]] = defaultdict(set)
    refused = set()
    found = {}
    for name in ARCHITECTURES:
        pixels = size(name)
        network = networks.blank(name, 3, image_size=pixels).to("meta")
        family, parts = kind(network)
        found[name] = family, parts
        if name in SMALLEST:
            tried[family] |= parts
        pictures = torch.zeros(2, 3, pixels, pixels, device="meta")
        with torch.no_grad():
            features = networks.features(network)(pictures)
            logits = networks.head(network)(features)
        assert features.shape == (2, networks.head(network).in_features)
        assert logits.shape == (2, 3)
        try:
            as_onnx.check_bytes(network)
        except ExportError:
            refused.add(name)
    assert refused == NOT_EXPORTED
    assert {
        name: parts - tried[family] for name, (family, parts) in found.items()
    } == dict.fromkeys(ARCHITECTURES, frozenset())
