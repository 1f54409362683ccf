"""Jobs in this process that train a head on a frozen backbone: a small network, few digits."""

from pathlib import Path

import torch

from classifier import bundle, networks
from classifier.transform import EvaluationTransform
from pictures import channels
from pictures.picture import Splits
from train import loop
from train.config import TrainConfig
from train.platform.environment import Job
from train.platform.stop import Stop
from train.recording.hooks import Hooks

CLASSES = 10
TRANSFORM = EvaluationTransform(resize=36, crop=32)


def backbone(folder: Path, classes: int = CLASSES) -> Path:
    """Write random weights of a network, the same in every run; return the file."""
    torch.manual_seed(0)
    network = networks.build("resnet18", classes)
    file = folder / "resnet18.pth"
    torch.save(network.state_dict(), file)
    return file


def config(weights: Path, **settings: object) -> TrainConfig:
    small = {
        "architecture": "resnet18",
        "weights": str(weights),
        "image_size": 32,
        "epochs": 3,
        "batch_size": 32,
        "learning_rate": 0.05,
        "workers": 0,
        "export": "none",
        "precision": "fp32",  # results are compared bit by bit, on any processor
    }
    return TrainConfig.model_validate(small | settings)


def job(root: Path) -> Job:
    for name in ("model", "data", "checkpoints"):
        (root / name).mkdir(parents=True, exist_ok=True)
    return Job(
        channels={},
        hyperparameters={},
        model_dir=root / "model",
        output_dir=root / "data",
        failure_file=root / "failure",
        config_dir=root / "config",
        checkpoints=root / "checkpoints",
    )


def find(data: Path) -> Splits:
    return channels.find({"data": data}, split_seed=0, valid_fraction=0.15, test_fraction=0.15)


def train(root: Path, data: Path, settings: TrainConfig, stop: Stop | None = None) -> torch.Tensor:
    """Run a job to its end; return the bundle's head, weights and biases [classes, F + 1]."""
    loop.train(settings, find(data), job(root), stop or Stop(), Hooks())
    return head(root)


def head(root: Path) -> torch.Tensor:
    layer = networks.head(bundle.load(root / "model").network)
    return torch.cat([layer.weight, layer.bias[:, None]], dim=1)


class StopAfter(Stop):
    """Stops the job at the check after `checks` checks, as SIGTERM would."""

    def __init__(self, checks: int) -> None:
        super().__init__()
        self.checks = checks

    def check(self, number: int = 0) -> None:
        self.checks -= 1
        self.requested = self.checks < 0
        super().check(number)
