"""An architecture of another package: found by its entry point, trained, saved and loaded."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from classifier import bundle, networks
from classifier.architectures import canonical
from classifier.weights import WeightsError, load_pretrained
from tests.train import head_jobs
from train import loop
from train.config import ConfigError, TrainConfig, from_hyperparameters
from train.platform.stop import Stop
from train.recording.hooks import Hooks

MODULE = """
from torch import nn
from classifier.networks import Architecture
from classifier.transform import EvaluationTransform

class Tiny(nn.Module):
    def __init__(self, classes, image_size):
        super().__init__()
        self.image_size = image_size
        self.body = nn.Sequential(
            nn.Conv2d(3, 8, 3, 2, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(1)
        )
        self.fc = nn.Linear(8, classes)

    def forward(self, images):
        return self.fc(self.body(images).flatten(1))

tiny = Architecture(Tiny, EvaluationTransform(resize=40, crop=32, mean=(0.5, 0.5, 0.5)))
broken = Architecture(lambda classes, image_size: Tiny(classes + 1, image_size))
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A distribution with an architecture, as pip would install it; returns its entry points."""
    site = tmp_path / "site"
    about = site / "tiny_networks-1.0.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: tiny-networks\nVersion: 1.0\n")
    register(about / "entry_points.txt", "tinynet = tiny_networks:tiny")
    (site / "tiny_networks.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(site))
    networks.preset.cache_clear()
    yield about / "entry_points.txt"
    networks.preset.cache_clear()
    sys.modules.pop("tiny_networks", None)


def register(file: Path, line: str) -> None:
    file.write_text(f"[kennel.architectures]\n{line}\n")


def test_its_name_is_known_and_suggested(package: Path) -> None:
    assert canonical("tinynet") == "tinynet"
    assert from_hyperparameters({"architecture": "tinynet"}).architecture == "tinynet"
    with pytest.raises(ConfigError, match="did you mean tinynet"):
        from_hyperparameters({"architecture": "tinyet"})


def test_without_the_package_the_error_says_that_it_must_be_installed() -> None:
    with pytest.raises(ValueError, match="another package must be installed"):
        canonical("tinynet")


def test_it_is_built_with_its_head_features_and_transform(package: Path) -> None:
    network = networks.build("tinynet", 3, image_size=48).eval()
    assert network.image_size == 48
    assert networks.build("tinynet", 3).image_size == 32
    images = torch.randn(2, 3, 32, 32)
    with torch.inference_mode():
        again = networks.head(network)(networks.features(network)(images))
        torch.testing.assert_close(again, network(images))
    assert (networks.preset("tinynet").crop, networks.preset("tinynet").mean[0]) == (32, 0.5)


def test_pretrained_weights_come_from_a_file_or_are_asked_for(
    package: Path, tmp_path: Path
) -> None:
    torch.save(networks.build("tinynet", 1000).state_dict(), tmp_path / "tinynet.pth")
    network = networks.build("tinynet", 3)
    load_pretrained(network, "tinynet", file=tmp_path / "tinynet.pth")
    loaded = torch.load(tmp_path / "tinynet.pth", weights_only=True)
    assert torch.equal(network.state_dict()["body.0.weight"], loaded["body.0.weight"])
    with pytest.raises(WeightsError, match="torchvision has no pretrained weights of tinynet"):
        load_pretrained(network, "tinynet")


@pytest.mark.parametrize("trainable", ["all", "head"])
def test_it_trains_to_a_bundle_that_replays(
    package: Path, few_digits: Path, tmp_path: Path, trainable: str
) -> None:
    file = tmp_path / "tinynet.pth"
    torch.save(networks.build("tinynet", 1000).state_dict(), file)
    config = TrainConfig.model_validate(
        {
            **{"architecture": "tinynet", "weights": str(file), "trainable": trainable},
            **{"epochs": 1, "workers": 0, "export": "none", "debugger": False, "profiler": False},
        }
    )
    job = head_jobs.job(tmp_path / "job")
    loop.train(config, head_jobs.find(few_digits), job, Stop(), Hooks())
    loaded = bundle.load(job.model_dir)
    assert loaded.description.architecture == "tinynet"
    assert loaded.description.transform.crop == 32
    assert bundle.replay(loaded) < bundle.TOLERANCE


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("tinynet = tiny_networks:missing", "tiny_networks:missing does not load"),
        ("tinynet = tiny_networks:Tiny", "is not a classifier.networks.Architecture"),
        ("tinynet = tiny_networks:broken", "4 outputs for 3 classes"),
    ],
)
def test_a_package_with_a_mistake_is_named(package: Path, line: str, reason: str) -> None:
    register(package, line)
    with pytest.raises(ValueError, match=f"architecture tinynet: .*{reason}"):
        networks.build("tinynet", 3)


def test_a_package_cannot_take_the_name_of_a_torchvision_network(package: Path) -> None:
    register(package, "resnet50 = tiny_networks:tiny")
    with pytest.raises(ValueError, match=r"architecture .resnet50. .* needs another name"):
        canonical("tinynet")
